/** What is looked at in a soak, and how a series is made of it. */
import { readdirSync, readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import { holdingsOf } from "../chaos/leftovers.ts";
import type { Point, Series } from "./verdict.ts";

export interface ProcessSample {
  readonly rss: number;
  readonly files: number;
  readonly sockets: number;
  readonly threads: number;
}

export interface Sample {
  /** Since the start. */
  readonly second: number;
  /** Flows that have ended so far. */
  readonly flows: number;
  readonly heapUsed: number;
  /** By their names. Empty where there is no /proc. */
  readonly processes: Readonly<Record<string, ProcessSample>>;
  readonly redis: { readonly usedMemory: number; readonly keys: number };
}

/** Undefined where there is no /proc, or when it has ended. */
export function sampleProcess(pid: number): ProcessSample | undefined {
  const holdings = holdingsOf(pid);
  if (holdings === undefined) return undefined;
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { rss: Number(kilobytes) * 1024, files: readdirSync(`/proc/${pid}/fd`).length, ...holdings };
}

export async function sampleRedis(redis: Redis): Promise<Sample["redis"]> {
  const memory = await redis.info("memory");
  return {
    usedMemory: Number(/^used_memory:(\d+)/m.exec(memory)?.[1]),
    keys: await redis.dbsize(),
  };
}

/** One series for each thing that was looked at. */
export function seriesOf(samples: readonly Sample[]): Series[] {
  const series = (name: string, kind: Series["kind"], valueIn: (sample: Sample) => number): Series => ({
    ...{ name, kind },
    points: samples.map((sample): Point => ({ second: sample.second, value: valueIn(sample) })),
  });
  const names = Object.keys(samples[0]?.processes ?? {});
  return [
    series("flows heap", "memory", ({ heapUsed }) => heapUsed),
    ...names.flatMap((name) => {
      const of = (what: keyof ProcessSample) => (sample: Sample) => sample.processes[name]?.[what] ?? 0;
      return [
        series(`${name} rss`, "memory", of("rss")),
        ...(["files", "sockets", "threads"] as const).map((what) =>
          series(`${name} ${what}`, "count", of(what)),
        ),
      ];
    }),
    series("redis memory", "memory", ({ redis }) => redis.usedMemory),
    series("redis keys", "keys", ({ redis }) => redis.keys),
  ];
}
