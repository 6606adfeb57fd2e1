import { expect, test } from "vitest";
import { metg, repetitions, type Sweep } from "./metg.ts";

/** A sweep of 100 tasks on 2 cores that do 2,000 iterations/ms: 1 ms of work for each task takes 50 ms. */
function sweep(sizes: readonly (readonly [iterations: number, elapsedMs: number])[]): Sweep {
  const points = sizes.map(([iterations, elapsed], index) => ({
    iterations,
    elapsedMs: new Array<number>(repetitions(index)).fill(elapsed),
  }));
  return { cores: 2, tasks: 100, steps: 50, width: 2, peak: 2_000, points };
}

test.each([
  // Granularity 2.5 ms at 0.8, 1.5 ms at 1/3: half lies 9/14 of the way down.
  {
    of: "between two sizes",
    sizes: [
      [2_000, 125],
      [500, 75],
    ],
    milliseconds: 2.5 - (0.3 / (0.8 - 1 / 3)) * 1,
  },
  {
    of: "at a size of exactly half",
    sizes: [
      [1_000, 100],
      [500, 60],
    ],
    milliseconds: 2,
  },
  // What is smaller takes as long: the floor, so the size that is reached counts.
  {
    of: "over a floor",
    sizes: [
      [1_000, 80],
      [500, 80],
    ],
    milliseconds: 1.6,
  },
  // A slow run among fast ones: the smallest granularity counts, not the last size above half.
  {
    of: "the smallest of a dented curve",
    sizes: [
      [4_000, 380],
      [2_000, 110],
      [1_000, 115],
      [500, 115],
    ],
    milliseconds: 2.2,
  },
] as const)("METG(50 %) $of", ({ sizes, milliseconds }) => {
  expect(metg(sweep(sizes))).toEqual({ milliseconds: expect.closeTo(milliseconds, 9) });
});

test("the sizes need not come in order, and repetitions count by their mean", () => {
  const ordered = sweep([
    [2_000, 125],
    [500, 75],
  ]);
  const [large, small] = ordered.points;
  const points = [
    { iterations: 500, elapsedMs: [...small!.elapsedMs] },
    { iterations: 2_000, elapsedMs: [large!.elapsedMs[0]! - 5, large!.elapsedMs[0]! + 5] },
  ];
  expect(metg({ ...ordered, points })).toEqual(metg(ordered));
});

test.each([
  { because: /no size reaches/, sizes: [[1_000, 200]] },
  { because: /every size reaches/, sizes: [[1_000, 60]] },
  {
    because: /efficiency of 1.5/,
    sizes: [
      [1_000, 30],
      [500, 100],
    ],
  },
  { because: /nothing was measured/, sizes: [] },
] as const)("a curve is refused: $because", ({ because, sizes }) => {
  expect(metg(sweep(sizes))).toEqual({ refused: expect.stringMatching(because) });
});

test("a sweep that was cut short is refused", () => {
  const whole = sweep([
    [2_000, 125],
    [500, 75],
  ]);
  const points = whole.points.map((point) => ({ ...point, elapsedMs: point.elapsedMs.slice(0, 1) }));
  expect(metg({ ...whole, points })).toEqual({ refused: "the smallest size lacks repetitions" });
});

test("a graph of growing steps has no METG", () => {
  expect(metg({ ...sweep([[1_000, 60]]), tasks: 98 })).toEqual({ refused: "not every step has every point" });
});
