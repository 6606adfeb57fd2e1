import { availableParallelism } from "node:os";
import { elapsedMs } from "../measure.ts";
import { allCompleted, inFlow, openCluster } from "../systems/millrace.ts";
import { noop, spin } from "../tasks.js";
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
    for (let round = 0; round < (bench.isQuick ? 1 : ROUNDS); round++) {
      for (let count = 1; count <= 2 * cores; count *= 2) {
        for (const [system, broker] of [
          ["Millrace, embedded", "memory"],
          ["Millrace, Redis", "redis"],
        ] as const) {
          bench.progress(`round ${round + 1}: ${system}, ${count} workers`);
          await using held = await openCluster(broker, { workers: count, threads: 1 });
          await inFlow(held.taskRunner, async () => {
            const noops = (length: number) =>
              elapsedMs(() => allCompleted(Array.from({ length }, (_, n) => noop.submit(n))));
            const spins = (length: number) =>
              elapsedMs(() => allCompleted(spin.map(new Array<number>(length).fill(1))));
            const figure = { group: "workers", system, at: count };
            await noops((NOOPS * scale) / 2); // Warms up.
            const perSecond = ((NOOPS * scale) / (await noops(NOOPS * scale))) * 1000;
            rounds.add({ ...figure, measure: "no-op tasks per second", unit: "1/s" }, perSecond);
            const tasks = SPINS * scale;
            await spins(tasks / 4);
            const efficiency = tasks / Math.min(count, cores) / (await spins(tasks));
            rounds.add({ ...figure, measure: "efficiency on tasks of 1 ms", unit: "" }, efficiency);
          });
        }
      }
    }
    rounds.recordIn(bench);
  },
};
