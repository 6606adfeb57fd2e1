import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeGraph, PATTERNS, type Pattern, taskCount } from "./patterns.ts";
import { uniform } from "./siphash.ts";

/** Tasks, dependencies and hash of each pattern, from the C++ core of Task Bench. */
const small: Record<Pattern, [number, number, string]> = {
  trivial: [80, 0, "f8c3013eb467"],
  no_comm: [80, 72, "b67ac05f1a98"],
  stencil_1d: [80, 198, "631c619d0264"],
  stencil_1d_periodic: [80, 216, "5950670fe3e6"],
  dom: [30, 47, "1b7b7c32a346"],
  tree: [63, 62, "b8c3325e3327"],
  fft: [80, 174, "591e7c7fa8a8"],
  nearest: [80, 198, "631c619d0264"],
  spread: [80, 216, "c144f04d9024"],
  random_nearest: [80, 102, "5d206797a4e6"],
  all_to_all: [80, 576, "02dd3a5396c7"],
};

const large: Record<Pattern, [number, number, string]> = {
  trivial: [1600, 0, "2f22fbf2d6b8"],
  no_comm: [1600, 1584, "0cd28803aa86"],
  stencil_1d: [1600, 4554, "7202811bac4f"],
  stencil_1d_periodic: [1600, 4752, "dc35ebf94cff"],
  dom: [1360, 2619, "dd1d738320c7"],
  tree: [1551, 1550, "42411cac03c8"],
  fft: [1600, 4018, "7e9c27a032cf"],
  nearest: [1600, 7326, "41e2c9411c13"],
  spread: [1600, 7920, "691b63c50771"],
  random_nearest: [1600, 2805, "0a46766da00f"],
  all_to_all: [1600, 25344, "98bf58fd33f6"],
};

describe.each(PATTERNS)("%s is what Task Bench makes of it", (pattern) => {
  test("10 steps, width 8, radix 3", () => {
    expect(summary({ pattern, steps: 10, width: 8, radix: 3 })).toEqual(small[pattern]);
  });

  test("100 steps, width 16, radix 5", () => {
    expect(summary({ pattern, steps: 100, width: 16, radix: 5 })).toEqual(large[pattern]);
  });
});

test("the random numbers are those of Task Bench", () => {
  expect(uniform(0, 3, 0, 0, 1)).toBeCloseTo(0.42978769299149577, 15);
  expect(uniform(0, 1, 2)).toBeCloseTo(0.4801060901149908, 15);
});

test.each([
  { pattern: "stencil_1d_periodic", width: 2 },
  { pattern: "fft", width: 1 },
  { pattern: "spread", width: 4 },
] as const)("$pattern refuses a width of $width", ({ pattern, width }) => {
  expect(() => makeGraph({ pattern, steps: 2, width })).toThrow(/Expected a width/);
});

function summary(options: Parameters<typeof makeGraph>[0]): [number, number, string] {
  const graph = makeGraph(options);
  const hash = createHash("sha256");
  for (const [step, points] of graph.entries()) {
    for (const { at, inputs } of points) hash.update(`${step}:${at}:${inputs.join(",")}\n`);
  }
  const dependencies = graph.flat().reduce((count, { inputs }) => count + inputs.length, 0);
  return [taskCount(graph), dependencies, hash.digest("hex").slice(0, 12)];
}
