import { elapsedMs, seededRandom, shuffled } from "../measure.ts";
import { allCompleted, inFlow, openCluster } from "../systems/millrace.ts";
import { openPool } from "../systems/piscina.ts";
import { noop, rest, spin } from "../tasks.js";
import { type Bench, type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
const SLOTS = 2;
const SEED = 20;
const TASKS = { noop, spin, rest };

const CLUSTERS = [
  { system: "Millrace, embedded", broker: "memory", workers: 1 },
  { system: "Millrace, Redis", broker: "redis", workers: 1 },
  { system: "Millrace, Redis, 2 workers", broker: "redis", workers: 2 },
] as const;

/** A task of the load: what it does, and for how long. */
interface Load {
  readonly does: "noop" | "spin" | "rest";
  readonly milliseconds: number;
}

/** Submits a load, and waits for its end. */
type RunLoad = (load: readonly Load[]) => Promise<unknown>;

/** Loads whose tasks are not alike, on two slots: how close a system comes to the best that could be. */
export const balance: Group = {
  name: "balance",
  async run(bench) {
    const rounds = new Rounds();
    const measureAll = async (system: string, run: RunLoad) => {
      // The code is loaded before anything is measured.
      await run((["noop", "spin", "rest"] as const).map((does) => ({ does, milliseconds: 0 })));
      for (const { measure, unit, load, idealMs } of loads(bench).filter(bench.wants)) {
        rounds.add({ group: "balance", measure, system, unit }, (await elapsedMs(() => run(load))) / idealMs);
      }
    };
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      if (bench.wants({ system: "piscina" })) {
        bench.progress(`round ${round + 1}: piscina`);
        const pool = openPool(SLOTS);
        await measureAll("piscina", (load) =>
          Promise.all(load.map(({ does, milliseconds }) => pool.run([milliseconds], { name: does }))),
        );
        await pool.destroy();
      }
      for (const { system, broker, workers } of CLUSTERS.filter(bench.wants)) {
        bench.progress(`round ${round + 1}: ${system}`);
        // Anew for each round: what a cluster has learned of the tasks' durations would help the next.
        await using held = await openCluster(broker, { workers, threads: SLOTS / workers });
        await inFlow(held.taskRunner, () =>
          measureAll(system, (load) =>
            allCompleted(load.map(({ does, milliseconds }) => TASKS[does].submit(milliseconds))),
          ),
        );
      }
    }
    rounds.recordIn(bench);
  },
};

function loads({ isQuick }: Bench) {
  const few = isQuick ? 0.1 : 1;
  const many = (count: number, does: Load["does"], milliseconds: number) =>
    new Array<Load>(count * few).fill({ does, milliseconds });
  const mixed = shuffled([...many(1_000, "noop", 0), ...many(20, "spin", 500)], seededRandom(SEED));
  const heavyTailed = heavyTail(200 * few).map((milliseconds) => ({ does: "spin", milliseconds }) as const);
  return [
    {
      measure: "1,000 no-ops and 20 tasks of 500 ms, time ÷ ideal",
      unit: "",
      load: mixed,
      idealMs: bestMs(mixed),
    },
    {
      measure: "200 tasks of heavy-tailed durations, time ÷ ideal",
      unit: "",
      load: heavyTailed,
      idealMs: bestMs(heavyTailed),
    },
    {
      measure: "100 tasks that each await 100 ms, on 2 threads",
      unit: "s",
      load: many(100, "rest", 100),
      idealMs: 1000, // Told in seconds.
    },
  ];
}

/** No schedule is shorter than this. */
function bestMs(load: readonly Load[]): number {
  const durations = load.map(({ milliseconds }) => milliseconds);
  const total = durations.reduce((a, b) => a + b, 0);
  return Math.max(total / SLOTS, ...durations);
}

/** Milliseconds from a Pareto distribution of shape 1.2, up to half a second: many short ones, a few that matter. */
function heavyTail(count: number): number[] {
  const random = seededRandom(SEED);
  return Array.from({ length: count }, () => Math.min(500, 4 * (1 - random()) ** (-1 / 1.2)));
}
