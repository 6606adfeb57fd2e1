import { ConcurrentTaskRunner } from "millrace";
import { elapsedMs } from "../measure.ts";
import { allCompleted, inFlow } from "../systems/millrace.ts";
import { noop } from "../tasks.js";
import { type Group, Rounds } from "./group.ts";

const TASKS = 100_000;
const ROUNDS = 5;

/** What the engine adds to a task that runs in its own process: submit, execute, settle, wait. */
export const engine: Group = {
  name: "engine",
  async run(bench) {
    const rounds = new Rounds();
    const tasks = bench.isQuick ? TASKS / 50 : TASKS;
    const measure = () =>
      inFlow(new ConcurrentTaskRunner(), () =>
        elapsedMs(() => allCompleted(Array.from({ length: tasks }, (_, n) => noop.submit(n)))),
      );
    await measure(); // Warms up.
    for (let round = 0; round < ROUNDS; round++) {
      bench.progress(`round ${round + 1}`);
      rounds.add(
        {
          group: "engine",
          measure: "engine overhead per task",
          system: "Millrace, ConcurrentTaskRunner",
          unit: "µs",
        },
        ((await measure()) * 1000) / tasks,
      );
    }
    rounds.recordIn(bench);
  },
};
