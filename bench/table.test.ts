import { expect, test } from "vitest";
import { type Figure, parseReport } from "./figure.ts";
import { growthsOf, growthTable } from "./growth.ts";
import { asMarkdown, asText, formatNumber, goalTable, otherFigures } from "./table.ts";

function figure(partial: Partial<Figure>): Figure {
  return { group: "latency", measure: "", system: "Millrace, Redis", unit: "ms", value: 1, ...partial };
}

const p50 = "one task, submit and await, p50";

test("a goal that is a peer's figure is judged by the ratio", () => {
  const figures = [
    figure({ measure: p50, value: 1.5 }),
    figure({ measure: p50, system: "BullMQ + piscina", value: 1 }),
    figure({ measure: p50, system: "Millrace, embedded", value: 0.15 }),
  ];
  const { head, rows } = goalTable(figures);
  expect(rows).toHaveLength(1);
  const row = Object.fromEntries(head.map((name, column) => [name, rows[0]![column]]));
  expect(row).toMatchObject({
    Dask: "",
    "Millrace, Redis": "1.5",
    goal: "embedded ≤ 0.15; Redis ≤ BullMQ + piscina",
    reached: "embedded: yes; Redis: no (1.5 times)",
  });
});

test("a goal without a figure says so", () => {
  const { rows } = goalTable([figure({ measure: p50, system: "piscina" })]);
  expect(rows[0]!.at(-1)).toBe("embedded: not measured; Redis: not measured");
});

test("of a row of sizes, the goal takes the one it names", () => {
  const measure = "most memory of Redis";
  const figures = [10, 1_000_000].map((at) => figure({ group: "scale", measure, at, value: at / 1e5 }));
  expect(goalTable(figures).rows[0]).toContain("10");
  expect(growthsOf(figures).map(growthTable)).toEqual([
    {
      title: "most memory of Redis (ms)",
      head: ["tasks in the flow", "Millrace, Redis"],
      rows: [
        ["10", "0"],
        ["1,000,000", "10"],
      ],
    },
  ]);
});

test("what has no goal and no size is listed with the rest", () => {
  const figures = [figure({ measure: p50 }), figure({ measure: "odd", unit: "" })];
  expect(otherFigures(figures).rows).toEqual([["odd", "1"]]);
});

test("tables for a terminal and for a page", () => {
  const table = { title: "T", head: ["a", "b"], rows: [["long", "1"]] };
  expect(asText(table)).toBe("T\na     b\n───────\nlong  1");
  expect(asMarkdown(table)).toBe("| a | b |\n| --- | --- |\n| long | 1 |");
});

test.each([
  [123_456.7, "123,457"],
  [12.345, "12.3"],
  [1.234, "1.23"],
  [0.1234, "0.123"],
])("%d is written %s", (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test("of several runs in one file, the last counts", () => {
  const lines = [{ machine: { cores: 2 } }, figure({ value: 1 }), figure({ value: 2 })];
  const report = parseReport(`noise\n${lines.map((line) => JSON.stringify(line)).join("\n")}`);
  expect(report.figures.map(({ value }) => value)).toEqual([2]);
  expect(report.machine.cores).toBe(2);
});
