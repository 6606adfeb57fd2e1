import { ConcurrentTaskRunner } from "millrace";
import { inFlow, noopsMs } from "../systems/millrace.ts";
import { type Group, Rounds } from "./group.ts";

const TASKS = 100_000;
const ROUNDS = 5;

/** What the engine adds to a task that runs in its own process: submit, execute, settle, wait. */
export const engine: Group = {
  name: "engine",
  async run(bench) {
    const rounds = new Rounds();
    const tasks = bench.isQuick ? TASKS / 50 : TASKS;
    const measure = () => inFlow(new ConcurrentTaskRunner(), () => noopsMs(tasks));
    await measure(); // Warms up.
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
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
