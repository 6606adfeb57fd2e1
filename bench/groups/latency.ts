import { percentile } from "../measure.ts";
import { bullmqAndPiscina } from "../systems/bullmq.ts";
import { millraceEmbedded, millraceRedis } from "../systems/millrace.ts";
import { piscina } from "../systems/piscina.ts";
import type { SystemEntry } from "../systems/system.ts";
import type { Bench, Group } from "./group.ts";

/** Systems take turns in blocks this short, since a shared machine changes its speed within a second. */
const BLOCK = 50;
const BLOCKS = 20;

type Entry = Pick<SystemEntry, "name"> & { open(): Promise<{ latencies: Latencies } & AsyncDisposable> };
type Latencies = (count: number) => Promise<number[]>;

/** One task, submitted and awaited, then the next. */
export const latency: Group = {
  name: "latency",
  async run(bench) {
    // Dask's and Ray's processes do something even when they are idle: they take turns among themselves.
    await takeTurns(bench, [piscina, bullmqAndPiscina, millraceEmbedded, millraceRedis], BLOCK);
    await takeTurns(bench, bench.peers, BLOCK / 5);
  },
};

async function takeTurns(bench: Bench, entries: readonly Entry[], block: number): Promise<void> {
  const opened: { system: Entry["name"]; at: Awaited<ReturnType<Entry["open"]>>; values: number[] }[] = [];
  try {
    for (const { name, open } of entries) {
      bench.progress(`starts ${name}`);
      const at = await open();
      opened.push({ system: name, at, values: [] });
      await at.latencies(block * 2); // Warms up.
    }
    bench.progress("takes turns");
    for (let n = 0; n < (bench.isQuick ? 1 : BLOCKS); n++) {
      for (const { at, values } of opened) values.push(...(await at.latencies(block)));
    }
  } finally {
    for (const { at } of opened) await at[Symbol.asyncDispose]();
  }
  for (const { system, values } of opened) {
    for (const percent of [50, 90]) {
      const measure = `one task, submit and await, p${percent}`;
      bench.record({
        group: "latency",
        measure,
        system,
        unit: "ms",
        value: percentile(values, percent / 100),
      });
    }
  }
}
