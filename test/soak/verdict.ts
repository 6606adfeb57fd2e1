/** Whether what a program holds has grown: a pure function of what was seen of it. */

/** One thing that was looked at again and again. */
export interface Series {
  readonly name: string;
  readonly kind: keyof typeof TOLERANCES;
  readonly points: readonly Point[];
}

export interface Point {
  /** Since the start. */
  readonly second: number;
  readonly value: number;
}

export interface Finding {
  readonly name: string;
  readonly kind: Series["kind"];
  /** The levels of the first third and of the last, once it is warm. */
  readonly first: number;
  readonly last: number;
  readonly allowed: number;
  /** By least squares, in an hour. */
  readonly slopePerHour: number;
  readonly isSteady: boolean;
}

const MIB = 1024 * 1024;

/**
 * What the level of a third is, and by how much the last may be above the first: a share of it, and so many. Memory moves by
 * a few MiB as it is collected. Keys, sockets and threads come and go with the flows that run, so that the least of them
 * tells what is left: nothing but 7 results that are cached for 20 s, and what a flow has that ran each time.
 */
export const TOLERANCES = {
  memory: { level: median, share: 0.05, more: 4 * MIB },
  keys: { level: least, share: 0, more: 10 },
  count: { level: least, share: 0, more: 0 },
} as const;

/** Code is compiled, pools and caches fill: so much of the time says nothing. */
const WARM_UP_SHARE = 0.25;

/** Fewer points than this in each third say nothing either. */
const LEAST_IN_A_THIRD = 3;

/**
 * Thirds tell, as a peak at one end, such as a large flow, moves a slope but no median. Less than there was is always
 * steady.
 *
 * @throws when there are too few points
 */
export function judge({ name, kind, points }: Series): Finding {
  const end = points.at(-1)?.second ?? 0;
  const warm = points.filter(({ second }) => second >= end * WARM_UP_SHARE);
  const third = Math.floor(warm.length / 3);
  if (third < LEAST_IN_A_THIRD)
    throw new Error(
      `Expected ${3 * LEAST_IN_A_THIRD} points of ${name} after the warm-up, got ${warm.length}.`,
    );
  const { level, share, more } = TOLERANCES[kind];
  const first = level(warm.slice(0, third));
  const last = level(warm.slice(-third));
  const allowed = first + first * share + more;
  return {
    ...{ name, kind, first, last, allowed },
    slopePerHour: slopeOf(warm) * 3600,
    isSteady: last <= allowed,
  };
}

function least(points: readonly Point[]): number {
  return Math.min(...points.map(({ value }) => value));
}

function median(points: readonly Point[]): number {
  const values = points.map(({ value }) => value).sort((a, b) => a - b);
  const middle = values.length >> 1;
  const upper = values[middle] as number;
  return values.length % 2 === 1 ? upper : ((values[middle - 1] as number) + upper) / 2;
}

/** In a second. */
function slopeOf(points: readonly Point[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const middle = mean(points.map(({ second }) => second));
  const average = mean(points.map(({ value }) => value));
  let [above, below] = [0, 0];
  for (const { second, value } of points) {
    above += (second - middle) * (value - average);
    below += (second - middle) ** 2;
  }
  return above / below;
}
