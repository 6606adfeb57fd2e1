import { percentile } from "../measure.ts";
import { bullmqAndPiscina } from "../systems/bullmq.ts";
import { millraceEmbedded, millraceRedis } from "../systems/millrace.ts";
import { piscina } from "../systems/piscina.ts";
import type { SystemEntry } from "../systems/system.ts";
import type { Bench, Group } from "./group.ts";

/** Systems take turns in blocks this short, since a shared machine changes its speed within a second. */
const BLOCK = 50;
const BLOCKS = 20;

/**
 * Tasks after which latencies no longer fall: Node compiles for so long what an engine runs for each. The 1,000 tasks after the
 * first 100 took Millrace 1.5 to 2.1 ms through Redis and the peer 1.3 to 1.7; those after 4,000, 1.2 and 1.3 to 1.4.
 */
const WARM_AFTER = 4_000;

type Entry = Pick<SystemEntry, "name"> & { open(): Promise<{ latencies: Latencies } & AsyncDisposable> };
type Latencies = (count: number) => Promise<number[]>;
type System = Entry["name"];
type Opened = { readonly system: System; readonly at: Awaited<ReturnType<Entry["open"]>> };

/** One task, submitted and awaited, then the next: of a cluster that is new, and of one that has run for a while. */
export const latency: Group = {
  name: "latency",
  async run(bench) {
    // Dask's and Ray's processes do something even when they are idle: they take turns among themselves.
    await takeTurns(bench, [piscina, bullmqAndPiscina, millraceEmbedded, millraceRedis], BLOCK);
    await takeTurns(bench, bench.peers, BLOCK / 5);
  },
};

async function takeTurns(bench: Bench, entries: readonly Entry[], block: number): Promise<void> {
  const opened: Opened[] = [];
  try {
    for (const { name, open } of entries.filter((entry) => bench.wants({ system: entry.name }))) {
      bench.progress(`starts ${name}`);
      opened.push({ system: name, at: await open() });
    }
    const blocks = bench.isQuick ? 1 : BLOCKS;
    bench.progress("takes turns, newly started");
    record(bench, await inTurns(opened, block, blocks), " of a new worker's first tasks");
    bench.progress("warms up");
    await inTurns(opened, block, bench.isQuick ? 0 : Math.ceil(WARM_AFTER / BLOCK) - blocks);
    bench.progress("takes turns, warm");
    record(bench, await inTurns(opened, block, blocks));
  } finally {
    for (const { at } of opened) await at[Symbol.asyncDispose]();
  }
}

async function inTurns(
  systems: readonly Opened[],
  block: number,
  blocks: number,
): Promise<Map<System, number[]>> {
  const values = new Map(systems.map(({ system }): [System, number[]] => [system, []]));
  for (let n = 0; n < blocks; n++) {
    for (const { system, at } of systems) values.get(system)?.push(...(await at.latencies(block)));
  }
  return values;
}

function record(bench: Bench, latencies: Map<System, number[]>, when = ""): void {
  for (const [system, values] of latencies) {
    for (const percent of [50, 90]) {
      const measure = `one task, submit and await, p${percent}${when}`;
      const value = percentile(values, percent / 100);
      bench.record({ group: "latency", measure, system, unit: "ms", value });
    }
  }
}
