import { expect, test } from "vitest";
import { drawChart } from "./chart.ts";

const chart = { title: "a < b", xLabel: "tasks", yLabel: "1/s" };

test("values far apart are drawn on a logarithmic axis, by decades", () => {
  const svg = drawChart({
    ...chart,
    series: [
      {
        name: "one",
        color: 0,
        points: [
          [1, 10],
          [100, 1_000],
        ],
      },
    ],
  });
  expect(ticks(svg, "end")).toEqual(["10", "100", "1,000"]);
  expect(svg).toContain("M80 310L460 40");
});

test("values near each other are drawn from zero", () => {
  const svg = drawChart({
    ...chart,
    series: [
      {
        name: "one",
        color: 0,
        points: [
          [1, 0.5],
          [10, 1],
        ],
      },
    ],
  });
  expect(ticks(svg, "end")).toEqual(["0", "0.5", "1"]);
  expect(svg).toContain("M80 175L460 40");
});

test("each size that was measured is named, each series has its name and color, and text is escaped", () => {
  const series = ["one", "two"].map((name, color) => ({
    name,
    color,
    points: [
      [1, 1],
      [2, 2],
      [4, 3],
    ] as const,
  }));
  const svg = drawChart({ ...chart, series });
  expect(ticks(svg, "middle").slice(0, 3)).toEqual(["1", "2", "4"]);
  expect(svg).toContain(">two</text>");
  expect(new Set(svg.match(/stroke="#\w{6}" stroke-width/g)).size).toBe(2);
  expect(svg).toContain("a &lt; b");
});

function ticks(svg: string, anchor: string): string[] {
  return [...svg.matchAll(new RegExp(`text-anchor="${anchor}">([^<]*)<`, "g"))].map((match) => match[1]!);
}
