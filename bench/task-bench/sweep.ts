import { availableParallelism } from "node:os";
import type { Calibrated } from "./calibrated.ts";
import { efficiency, repetitions, type Sweep, type SweepPoint } from "./metg.ts";
import { type GraphOptions, makeGraph, taskCount } from "./patterns.ts";

/** Two sizes below half of the peak show that the curve has passed it. */
const SIZES_BELOW = 2;

export interface SweepPlan extends GraphOptions {
  /** Milliseconds of computing of the largest tasks; each size has half of the one before. */
  readonly largestMs: number;
  readonly progress: (text: string) => void;
}

/** Runs ever smaller tasks on each system, in turns, until a system has no half of the peak left. */
export async function sweepInTurns(systems: readonly Calibrated[], plan: SweepPlan): Promise<Sweep[]> {
  const graph = makeGraph(plan);
  const runs = systems.map((system) => ({
    system,
    largest: system.iterationsFor(plan.largestMs),
    points: [] as SweepPoint[],
  }));
  const sweepOf = ({ system, points }: (typeof runs)[number]): Sweep => ({
    cores: availableParallelism(),
    tasks: taskCount(graph),
    steps: plan.steps,
    width: plan.width,
    peak: system.peak,
    points,
  });
  for (let index = 0; ; index++) {
    const running = runs
      .filter((run) => !hasPassed(sweepOf(run)) && run.largest >= 2 ** index)
      .map((run) => ({
        ...run,
        iterations: Math.round(run.largest / 2 ** index),
        elapsedMs: [] as number[],
      }));
    if (running.length === 0) return runs.map(sweepOf);
    plan.progress(`tasks of ${(plan.largestMs / 2 ** index).toPrecision(2)} ms`);
    for (const { system } of running) await system.calibrate();
    for (let repetition = 0; repetition < repetitions(index); repetition++) {
      for (const { system, iterations, elapsedMs } of running) {
        elapsedMs.push(await system.at.graph(graph, iterations));
      }
    }
    for (const { points, iterations, elapsedMs } of running) points.push({ iterations, elapsedMs });
  }
}

function hasPassed(sweep: Sweep): boolean {
  const below = sweep.points.filter(({ iterations, elapsedMs }) =>
    elapsedMs.every((elapsed) => efficiency(iterations, elapsed, sweep) < 0.5),
  );
  return below.length >= SIZES_BELOW;
}
