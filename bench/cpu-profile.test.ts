import { expect, test } from "vitest";
import { summarize } from "./cpu-profile.ts";

test("time is told by file of ours, by library, by module of Node and by what V8 does itself", () => {
  const urls = [
    "file:///a/packages/core/dist/task-run.js",
    "file:///a/node_modules/msgpackr/node-index.js",
    "node:internal/worker/io",
    "file:///a/bench/tasks.js",
  ];
  const nodes = [
    { id: 1, callFrame: { functionName: "(idle)", url: "" } },
    { id: 2, callFrame: { functionName: "(garbage collector)", url: "" } },
    ...urls.map((url, index) => ({ id: 3 + index, callFrame: { functionName: "f", url } })),
  ];
  const { busyPart, places } = summarize({
    nodes,
    samples: [1, 2, 3, 3, 4, 5, 6],
    timeDeltas: [50, 1, 20, 10, 10, 5, 4],
  });
  expect(busyPart).toBeCloseTo(0.5);
  expect(places).toEqual([
    { place: "core/task-run", part: 0.6 },
    { place: "msgpackr", part: 0.2 },
    { place: "node:internal/worker/io", part: 0.1 },
    { place: "tasks.js", part: 0.08 },
    { place: "(garbage collector)", part: 0.02 },
  ]);
});
