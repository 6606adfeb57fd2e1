import { elapsedMs, seededRandom, shuffled } from "../measure.ts";
import { allCompleted, inFlow, openCluster } from "../systems/millrace.ts";
import { noop, rest, spin } from "../tasks.js";
import { type Bench, type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
const SLOTS = 2;
const SEED = 20;

const CLUSTERS = [
  { system: "Millrace, embedded", broker: "memory", workers: 1 },
  { system: "Millrace, Redis", broker: "redis", workers: 1 },
  { system: "Millrace, Redis, 2 workers", broker: "redis", workers: 2 },
] as const;

/** Loads whose tasks are not alike, on two slots: how close a cluster comes to the best that could be. */
export const balance: Group = {
  name: "balance",
  async run(bench) {
    const rounds = new Rounds();
    for (let round = 0; round < (bench.isQuick ? 1 : ROUNDS); round++) {
      for (const { system, broker, workers } of CLUSTERS) {
        bench.progress(`round ${round + 1}: ${system}`);
        // Anew for each round: what a cluster has learned of the tasks' durations would help the next.
        await using held = await openCluster(broker, { workers, threads: SLOTS / workers });
        await inFlow(held.taskRunner, async () => {
          await allCompleted([noop.submit(1), spin.submit(0), rest.submit(0)]); // The module is loaded.
          for (const { measure, unit, run } of loads(bench)) {
            rounds.add({ group: "balance", measure, system, unit }, await run());
          }
        });
      }
    }
    rounds.recordIn(bench);
  },
};

function loads({ isQuick }: Bench) {
  const few = isQuick ? 0.1 : 1;
  return [
    {
      measure: "1,000 no-ops and 20 tasks of 500 ms, time ÷ ideal",
      unit: "",
      run: async () => {
        const durations = [
          ...new Array<number>(1_000 * few).fill(0),
          ...new Array<number>(20 * few).fill(500),
        ];
        const elapsed = await elapsedMs(() =>
          allCompleted(shuffled(durations, seededRandom(SEED)).map(submit)),
        );
        return elapsed / bestMs(durations);
      },
    },
    {
      measure: "200 tasks of heavy-tailed durations, time ÷ ideal",
      unit: "",
      run: async () => {
        const durations = heavyTailed(200 * few);
        return (await elapsedMs(() => allCompleted(durations.map(submit)))) / bestMs(durations);
      },
    },
    {
      measure: "100 tasks that each await 100 ms, on 2 threads",
      unit: "s",
      run: async () => {
        const tasks = Array.from({ length: 100 * few }, () => 100);
        return (await elapsedMs(() => allCompleted(rest.map(tasks)))) / 1000;
      },
    },
  ];
}

function submit(milliseconds: number) {
  return milliseconds === 0 ? noop.submit(1) : spin.submit(milliseconds);
}

/** No schedule is shorter than this. */
function bestMs(durations: readonly number[]): number {
  const total = durations.reduce((a, b) => a + b, 0);
  return Math.max(total / SLOTS, ...durations);
}

/** Milliseconds from a Pareto distribution of shape 1.2, up to half a second: many short ones, a few that matter. */
function heavyTailed(count: number): number[] {
  const random = seededRandom(SEED);
  return Array.from({ length: count }, () => Math.min(500, 4 * (1 - random()) ** (-1 / 1.2)));
}
