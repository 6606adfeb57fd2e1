import { availableParallelism } from "node:os";
import { millraceEmbedded, millraceRedis } from "../systems/millrace.ts";
import { piscina } from "../systems/piscina.ts";
import type { System, SystemEntry } from "../systems/system.ts";
import { Calibrated } from "../task-bench/calibrated.ts";
import { efficiency, metg } from "../task-bench/metg.ts";
import { makeGraph, PATTERNS, taskCount } from "../task-bench/patterns.ts";
import { sweepInTurns } from "../task-bench/sweep.ts";
import { type Bench, type Group, Rounds } from "./group.ts";

const cores = availableParallelism();

/** Tasks of a graph and the size of the largest: what each needs to come below half of its peak within a minute. */
const NODE = { tasks: 2_000, largestMs: 4 };
const PYTHON = { tasks: 400, largestMs: 64 };
const QUICK = { tasks: 100, largestMs: 2 };

const WIDTHS = [
  { label: "width of the cores", width: cores },
  { label: "8 times the width", width: 8 * cores },
];

/** How small tasks may be, by Task Bench. Systems take turns; the Python ones, whose idle processes work, among themselves. */
export const taskBench: Group = {
  name: "task-bench",
  async run(bench) {
    await withSystems(bench, [piscina, millraceEmbedded, millraceRedis], (systems) =>
      measure(bench, systems, bench.isQuick ? QUICK : NODE),
    );
    await withSystems(bench, bench.peers, (systems) =>
      measure(bench, systems, bench.isQuick ? QUICK : PYTHON),
    );
  },
};

async function measure(bench: Bench, systems: readonly Calibrated[], size: typeof NODE): Promise<void> {
  for (const { label, width } of bench.isQuick ? WIDTHS.slice(0, 1) : WIDTHS) {
    const name = `METG(50 %) of stencil_1d, ${label}`;
    if (!bench.wants({ measure: name })) continue;
    const plan = { pattern: "stencil_1d", width, steps: Math.round(size.tasks / width) } as const;
    const progress = (text: string) => bench.progress(`stencil_1d, width ${width}: ${text}`);
    const sweeps = await sweepInTurns(systems, { ...plan, largestMs: size.largestMs, progress });
    for (const [index, sweep] of sweeps.entries()) {
      const system = systems[index]!.at.name;
      const result = metg(sweep);
      if ("refused" in result) {
        progress(`no METG for ${system}: ${result.refused}`);
        continue;
      }
      bench.record({ group: "task-bench", measure: name, system, unit: "ms", value: result.milliseconds });
    }
  }
  if (bench.withAllPatterns) await allPatterns(bench, systems, size.tasks);
  for (const { at, peak } of systems) {
    const measured = "kernel iterations per ms, all cores";
    bench.record({ group: "task-bench", measure: measured, system: at.name, unit: "1/ms", value: peak });
  }
}

/** Every pattern with tasks of one millisecond: those whose steps grow have no METG, but a wall time. */
async function allPatterns(bench: Bench, systems: readonly Calibrated[], tasks: number): Promise<void> {
  const rounds = new Rounds();
  const width = 8 * cores;
  for (const pattern of PATTERNS) {
    bench.progress(`${pattern}, width ${width}, tasks of 1 ms`);
    const graph = makeGraph({ pattern, width, steps: Math.round(tasks / width) });
    for (let round = 0; round < bench.rounds(3); round++) {
      for (const system of systems) {
        await system.calibrate();
        const iterations = system.iterationsFor(1);
        const elapsed = await system.at.graph(graph, iterations);
        const sweep = {
          cores,
          tasks: taskCount(graph),
          steps: graph.length,
          width,
          peak: system.peak,
          points: [],
        };
        const figure = { group: "task-bench", system: system.at.name };
        rounds.add({ ...figure, measure: `${pattern}: wall time`, unit: "s" }, elapsed / 1000);
        rounds.add(
          { ...figure, measure: `${pattern}: efficiency`, unit: "" },
          efficiency(iterations, elapsed, sweep),
        );
      }
    }
  }
  rounds.recordIn(bench);
}

async function withSystems(
  bench: Bench,
  entries: readonly SystemEntry[],
  body: (systems: readonly Calibrated[]) => Promise<void>,
): Promise<void> {
  const opened: System[] = [];
  const systems: Calibrated[] = [];
  try {
    for (const { name, open } of entries.filter((entry) => bench.wants({ system: entry.name }))) {
      bench.progress(`calibrates ${name}`);
      const at = await open();
      opened.push(at);
      // A throw-away graph: the tasks' code is loaded and compiled before the clock starts.
      await at.graph(makeGraph({ pattern: "stencil_1d", width: cores, steps: 100 }), 10);
      systems.push(await Calibrated.of(at));
    }
    await body(systems);
  } finally {
    for (const at of opened) await at[Symbol.asyncDispose]();
  }
}
