/** One size of a sweep: a graph run with so many iterations of the kernel in each task. */
export interface SweepPoint {
  readonly iterations: number;
  /** What each repetition took. */
  readonly elapsedMs: readonly number[];
}

export interface Sweep {
  readonly cores: number;
  /** Tasks of the graph. */
  readonly tasks: number;
  readonly steps: number;
  readonly width: number;
  /** Iterations per millisecond that all cores together can do: measured, not from a datasheet. */
  readonly peak: number;
  /** Of each size, the larger first. */
  readonly points: readonly SweepPoint[];
}

export type Metg = { readonly milliseconds: number } | { readonly refused: string };

const TARGET = 0.5;
/** More of the peak than this says that the peak or the runs are wrong: that work was left out, for one. */
const HIGHEST_EFFICIENCY = 1.5;
export const MOST_REPETITIONS = 5;

/** Larger sizes take longer and vary less. */
export function repetitions(index: number): number {
  return Math.min(index + 1, MOST_REPETITIONS);
}

/** Time of one task when all cores are busy with tasks: what a user would call its size. */
export function granularityMs(elapsedMs: number, { cores, tasks }: Sweep): number {
  return (elapsedMs * cores) / tasks;
}

/** The part of the peak that a run reached. */
export function efficiency(iterations: number, elapsedMs: number, { tasks, peak }: Sweep): number {
  return (iterations * tasks) / elapsedMs / peak;
}

/**
 * The minimum effective task granularity: how small tasks may be for half of the machine's work to be theirs. By the
 * procedure of Task Bench's scripts/chart_metg.py, with its reasons to refuse a curve.
 */
export function metg(sweep: Sweep): Metg {
  if (sweep.tasks !== sweep.steps * sweep.width) return refused("not every step has every point");
  const last = sweep.points.length - 1;
  if (last < 0) return refused("nothing was measured");
  if (sweep.points[last]!.elapsedMs.length < repetitions(last)) {
    return refused("the smallest size lacks repetitions");
  }
  const curve = sweep.points
    .map(({ iterations, elapsedMs }) => {
      const elapsed = mean(elapsedMs);
      return {
        iterations,
        granularity: granularityMs(elapsed, sweep),
        efficiency: efficiency(iterations, elapsed, sweep),
      };
    })
    .sort((a, b) => b.iterations - a.iterations);
  if (curve.some((point) => point.efficiency >= HIGHEST_EFFICIENCY)) {
    return refused(`an efficiency of ${HIGHEST_EFFICIENCY} or more`);
  }
  const reached = curve.filter((point) => point.efficiency >= TARGET);
  if (reached.length === 0) return refused("no size reaches half of the peak");
  if (reached.length === curve.length) return refused("every size reaches half of the peak");
  const best = reached.reduce((a, b) => (b.granularity < a.granularity ? b : a));
  const next = curve[curve.indexOf(best) + 1];
  if (next === undefined || next.granularity >= best.granularity) return { milliseconds: best.granularity };
  const part = (best.efficiency - TARGET) / (best.efficiency - next.efficiency);
  return { milliseconds: best.granularity + part * (next.granularity - best.granularity) };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function refused(reason: string): Metg {
  return { refused: reason };
}
