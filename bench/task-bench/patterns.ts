/**
 * The dependence patterns of Task Bench (Slaughter et al., SC20), as its C++ core has them: at each step, which points
 * exist, and which points of the step before each of them needs. Pure functions; `patterns.test.ts` holds them to the
 * hashes of the original.
 */
import { uniform } from "./siphash.ts";

export const PATTERNS = [
  "trivial",
  "no_comm",
  "stencil_1d",
  "stencil_1d_periodic",
  "dom",
  "tree",
  "fft",
  "nearest",
  "spread",
  "random_nearest",
  "all_to_all",
] as const;

export type Pattern = (typeof PATTERNS)[number];

export interface GraphOptions {
  readonly pattern: Pattern;
  readonly steps: number;
  readonly width: number;
  /** How many points `nearest`, `spread` and `random_nearest` look at. Default: 3. */
  readonly radix?: number;
}

/** One task of a graph: its place in its step, and the points of the step before that it needs, in order. */
export interface Point {
  readonly at: number;
  readonly inputs: readonly number[];
}

/** The points of each step. */
export type Graph = readonly (readonly Point[])[];

const PERIOD = 3;
const FRACTION = 0.25;
/** The number of the graph, which random patterns hash; we run one graph at a time. */
const GRAPH = 0;

export function makeGraph({ pattern, steps, width, radix = 3 }: GraphOptions): Graph {
  checkOptions(pattern, width, radix);
  return Array.from({ length: steps }, (_, step) => {
    const { first, count } = extent(pattern, step, steps, width);
    const before = extent(pattern, step - 1, steps, width);
    const exists = (point: number) =>
      step > 0 && point >= before.first && point < before.first + before.count;
    return Array.from({ length: count }, (_, offset) => {
      const at = first + offset;
      return { at, inputs: wanted(pattern, step, at, width, radix).filter(exists) };
    });
  });
}

export function taskCount(graph: Graph): number {
  return graph.reduce((count, points) => count + points.length, 0);
}

function extent(pattern: Pattern, step: number, steps: number, width: number) {
  switch (pattern) {
    case "dom":
      return {
        first: Math.max(0, step + width - steps),
        count: Math.min(width, step + 1, steps - step),
      };
    case "tree":
      return { first: 0, count: Math.min(width, 2 ** Math.max(0, step)) };
    default:
      return { first: 0, count: width };
  }
}

/** The inputs by the rule of the pattern, whether they exist at the step before or not. */
function wanted(pattern: Pattern, step: number, at: number, width: number, radix: number): number[] {
  switch (pattern) {
    case "trivial":
      return [];
    case "no_comm":
      return [at];
    case "stencil_1d":
      return window(at - 1, at + 1, width);
    case "stencil_1d_periodic":
      return [
        ...window(at - 1, at + 1, width),
        ...(at === 0 ? [width - 1] : []),
        ...(at === width - 1 ? [0] : []),
      ];
    case "dom":
      return window(at - 1, at, width);
    case "tree":
      return [Math.floor(at / 2)];
    case "fft": {
      const levels = Math.ceil(Math.log2(width));
      const stride = 2 ** ((step + levels - 1) % levels);
      return [at - stride, at, at + stride].filter((point) => point >= 0 && point < width);
    }
    case "nearest":
      return nearest(at, width, radix);
    case "spread":
      return Array.from({ length: radix }, (_, k) => {
        const shift = k > 0 ? step % PERIOD : 0;
        return (at + Math.floor((k * width) / radix) + shift) % width;
      });
    case "random_nearest":
      return nearest(at, width, radix).filter(
        (point) => point === at || uniform(GRAPH, radix, step % PERIOD, point, at) < FRACTION,
      );
    case "all_to_all":
      return window(0, width - 1, width);
  }
}

function nearest(at: number, width: number, radix: number): number[] {
  if (radix === 0) return [];
  return window(at - Math.floor(radix / 2), at + Math.floor((radix - 1) / 2), width);
}

/** The points from `first` to `last` that lie in the graph's width. */
function window(first: number, last: number, width: number): number[] {
  const from = Math.max(0, first);
  return Array.from({ length: Math.max(0, Math.min(last, width - 1) - from + 1) }, (_, n) => from + n);
}

function checkOptions(pattern: Pattern, width: number, radix: number): void {
  const isValid =
    pattern === "stencil_1d_periodic"
      ? width >= 3
      : pattern === "fft"
        ? width >= 2
        : pattern === "spread"
          ? width >= radix && PERIOD <= Math.ceil(width / radix)
          : pattern === "random_nearest"
            ? radix > 0
            : width >= 1;
  if (!isValid)
    throw new Error(`Expected a width and a radix that suit ${pattern}, got ${width} and ${radix}.`);
}
