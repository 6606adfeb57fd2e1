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

/**
 * Tasks after which the efficiency no longer rises: Node compiles for so long what an engine runs for each report. Through Redis, eight times 2,000
 * tasks in a new cluster took 0.59, 0.64, 0.77, 0.84, 0.84, 0.86, 0.89 and 0.88 of the ideal.
 */
const SPINS_TO_WARM = 4 * SPINS;

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
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      for (const { name: system, open } of entries.filter(({ name }) => bench.wants({ system: name }))) {
        bench.progress(`round ${round + 1}: ${system}`);
        await using at = await open();
        const add = async (measure: string, unit: string, figure: () => Promise<number>) => {
          if (!bench.wants({ measure })) return;
          rounds.add({ group: "throughput", measure, system, unit }, await figure());
        };
        const spins = SPINS * scale;
        const efficiency = async () => spins / availableParallelism() / (await at.spins(spins));
        await add("efficiency on the first 2,000 tasks of 1 ms", "", efficiency);
        const noops = NOOPS[system] * scale;
        await add("no-op tasks per second", "1/s", async () => {
          await at.noops(noops / 2); // Warms up: code is compiled, durations are learned.
          return (noops / (await at.noops(noops))) * 1000;
        });
        const { asyncNoops } = at;
        if (asyncNoops !== undefined) {
          await add("async no-op tasks per second", "1/s", async () => {
            await asyncNoops(noops / 2);
            return (noops / (await asyncNoops(noops))) * 1000;
          });
        }
        const chain = CHAIN * scale;
        await add("chain of 500 tasks, tasks per second", "1/s", async () => {
          return (chain / (await repeated(() => at.chain(chain)))) * 1000;
        });
        await add("efficiency on 2,000 tasks of 1 ms", "", async () => {
          await at.spins(SPINS_TO_WARM * scale);
          return efficiency();
        });
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
