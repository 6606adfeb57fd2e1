import { availableParallelism } from "node:os";
import { inFlow, noopsMs, openCluster, spinsMs } from "../systems/millrace.ts";
import { type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
const NOOPS = 50_000;
const SPINS = 2_000;
const cores = availableParallelism();

/** Workers of one thread each, from one to twice the cores: more than that, and they only take turns. */
export const workers: Group = {
  name: "workers",
  async run(bench) {
    const rounds = new Rounds();
    const scale = bench.isQuick ? 0.02 : 1;
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      for (let count = 1; count <= 2 * cores; count *= 2) {
        for (const [system, broker] of [
          ["Millrace, embedded", "memory"],
          ["Millrace, Redis", "redis"],
        ] as const) {
          if (!bench.wants({ system })) continue;
          bench.progress(`round ${round + 1}: ${system}, ${count} workers`);
          await using held = await openCluster(broker, { workers: count, threads: 1 });
          await inFlow(held.taskRunner, async () => {
            const figure = { group: "workers", system, at: count };
            const noops = { ...figure, measure: "no-op tasks per second", unit: "1/s" };
            if (bench.wants(noops)) {
              await noopsMs((NOOPS * scale) / 2); // Warms up.
              rounds.add(noops, ((NOOPS * scale) / (await noopsMs(NOOPS * scale))) * 1000);
            }
            const spins = { ...figure, measure: "efficiency on tasks of 1 ms", unit: "" };
            if (bench.wants(spins)) {
              const tasks = SPINS * scale;
              await spinsMs(tasks / 4);
              rounds.add(spins, tasks / Math.min(count, cores) / (await spinsMs(tasks)));
            }
          });
        }
      }
    }
    rounds.recordIn(bench);
  },
};
