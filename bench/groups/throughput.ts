import { availableParallelism } from "node:os";
import type { SystemName } from "../figure.ts";
import { median } from "../measure.ts";
import { bullmqAndPiscina } from "../systems/bullmq.ts";
import { millraceEmbedded, millraceRedis } from "../systems/millrace.ts";
import { piscina } from "../systems/piscina.ts";
import { type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
const CHAIN = 500;
const SPINS = 2_000;

/** What takes each system a second or a few: a rate does not depend on it once it is some thousands. */
const NOOPS: Record<SystemName, number> = {
  Dask: 5_000,
  Ray: 10_000,
  piscina: 50_000,
  "BullMQ + piscina": 10_000,
  "Millrace, embedded": 100_000,
  "Millrace, Redis": 100_000,
};

/** How many tasks a second: each system started anew for each round, so that only the one that is measured is there. */
export const throughput: Group = {
  name: "throughput",
  async run(bench) {
    const rounds = new Rounds();
    const scale = bench.isQuick ? 0.02 : 1;
    const entries = [...bench.peers, piscina, bullmqAndPiscina, millraceEmbedded, millraceRedis];
    for (let round = 0; round < (bench.isQuick ? 1 : ROUNDS); round++) {
      for (const { name: system, open } of entries) {
        bench.progress(`round ${round + 1}: ${system}`);
        await using at = await open();
        const group = "throughput";
        const noops = NOOPS[system] * scale;
        await at.noops(noops / 2); // Warms up: code is compiled, durations are learned.
        const perSecond = (noops / (await at.noops(noops))) * 1000;
        rounds.add({ group, measure: "no-op tasks per second", system, unit: "1/s" }, perSecond);
        if (at.asyncNoops !== undefined) {
          await at.asyncNoops(noops / 2);
          const rate = (noops / (await at.asyncNoops(noops))) * 1000;
          rounds.add({ group, measure: "async no-op tasks per second", system, unit: "1/s" }, rate);
        }
        const chain = CHAIN * scale;
        const links = (chain / (await repeated(() => at.chain(chain)))) * 1000;
        rounds.add({ group, measure: "chain of 500 tasks, tasks per second", system, unit: "1/s" }, links);
        const spins = SPINS * scale;
        await at.spins(spins / 4);
        const efficiency = spins / availableParallelism() / (await at.spins(spins));
        rounds.add({ group, measure: "efficiency on 2,000 tasks of 1 ms", system, unit: "" }, efficiency);
      }
    }
    rounds.recordIn(bench);
  },
};

/** A chain takes milliseconds in some systems, too little to measure once, and seconds in others: the median of those that fit into a second. */
async function repeated(measure: () => Promise<number>): Promise<number> {
  const values = [await measure()];
  const end = performance.now() + 1000;
  while (performance.now() < end) values.push(await measure());
  return median(values);
}
