import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { withPrivateRedis } from "./private-redis.ts";

/** Where the calls run: on the event loop, in threads of the flow's process, in a worker process behind Redis. */
export type ScaleSystem = "concurrent" | "memory" | "redis";

/**
 * How the flow makes its tasks: `map` over an array and `results()`; a loop of `submit`s whose futures are kept and awaited,
 * or are dropped; `map` over an async iterable.
 */
export type ScaleWay = "map" | "submit" | "dropped" | "stream";

/** One flow of many no-op tasks, in a process of its own. */
export interface ScaleFigures {
  readonly system: ScaleSystem;
  readonly way: ScaleWay;
  readonly tasks: number;
  readonly tasksPerSecond: number;
  readonly microsPerTask: number;
  /** The most memory that the flow's process had, with its threads and its code: see the figure for few tasks. */
  readonly peakRssMb: number;
  /** What the flow's process still holds of JavaScript objects after the flow, while its futures are kept. */
  readonly heapAfterMb: number;
  readonly redisPeakMb: number | undefined;
}

export const SCALE_SIZES: readonly number[] = [1_000, 10_000, 100_000, 1_000_000];

/** Measures each size in a fresh process, so that none profits or suffers from another's memory. */
export async function measureScale(
  system: ScaleSystem,
  way: ScaleWay,
  sizes: readonly number[] = SCALE_SIZES,
): Promise<ScaleFigures[]> {
  const figures: ScaleFigures[] = [];
  for (const tasks of sizes) figures.push(await measureOne(system, way, tasks));
  return figures;
}

async function measureOne(system: ScaleSystem, way: ScaleWay, tasks: number): Promise<ScaleFigures> {
  if (system !== "redis") return { ...(await runInChild({ system, way, tasks })), redisPeakMb: undefined };
  return withPrivateRedis(async (path) => {
    const measured = await runInChild({ system, way, tasks, redis: `unix://${path}` });
    const redis = new Redis({ path });
    const peak = /used_memory_peak:(\d+)/.exec(await redis.info("memory"))?.[1];
    redis.disconnect();
    return { ...measured, redisPeakMb: Number(peak) / 1e6 };
  });
}

/** What the child is told. */
export interface ScaleRun {
  readonly system: ScaleSystem;
  readonly way: ScaleWay;
  readonly tasks: number;
  readonly redis?: string;
}

async function runInChild(run: ScaleRun): Promise<Omit<ScaleFigures, "redisPeakMb">> {
  const child = fork(fileURLToPath(new URL("./scale-run.ts", import.meta.url)), [JSON.stringify(run)]);
  const ended = once(child, "exit");
  let measured: Omit<ScaleFigures, "redisPeakMb"> | undefined;
  child.once("message", (message) => {
    measured = message as typeof measured;
  });
  const [code, signal] = await ended;
  if (measured === undefined) throw new Error(`The run ${JSON.stringify(run)} ended with ${signal ?? code}.`);
  return measured;
}

/** `npx tsx bench/scale.ts memory,redis map,submit 1000000`: a line of JSON for each figure. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [systems = "concurrent,memory,redis", ways = "map,submit,dropped,stream", sizes] =
    process.argv.slice(2);
  for (const system of systems.split(",") as ScaleSystem[])
    for (const way of ways.split(",") as ScaleWay[])
      for (const figures of await measureScale(system, way, sizes?.split(",").map(Number)))
        console.log(JSON.stringify(figures));
}
