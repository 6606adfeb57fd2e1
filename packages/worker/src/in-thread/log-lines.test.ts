import { expect, test } from "vitest";
import { LogLines } from "./log-lines.ts";

const MOST_REPORT_CHARACTERS = 2 * 1024 * 1024;

/** Writes the lines at once, and gives the texts that went out. */
function written(...lines: readonly string[]): string[] {
  const texts: string[] = [];
  const log = new LogLines({ before: () => {}, flush: () => texts.push(log.take()) });
  for (const line of lines) log.write(line);
  texts.push(log.take());
  return texts.filter((text) => text !== "");
}

test("many lines go out in several texts, none of which is long, and in their order", () => {
  const lines = Array.from({ length: 100 }, (_, n) => `${JSON.stringify({ n, msg: "x".repeat(100_000) })}\n`);
  const texts = written(...lines);
  expect(texts.join("")).toBe(lines.join(""));
  expect(Math.max(...texts.map(({ length }) => length))).toBeLessThan(MOST_REPORT_CHARACTERS);
});

test.each<[string, () => object, object]>([
  [
    "keeps its short fields, and the beginning of the others",
    () => ({
      level: 30,
      taskRunId: "run-1",
      rows: Array.from({ length: 1e6 }, () => 1),
      msg: "y".repeat(3e6),
    }),
    {
      level: 30,
      taskRunId: "run-1",
      rows: `[${"1,".repeat(1e6).slice(0, 999)}…`,
      msg: `${"y".repeat(1000)}…`,
    },
  ],
  [
    "loses the last of its fields when there are very many",
    () => ({
      level: 30,
      ...Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`field-${n}`, "\n"])),
      msg: "what it says",
    }),
    { level: 30, "field-0": "\n", msg: "what it says" },
  ],
])("a line that is too long %s", (_, makeLine, kept) => {
  const text = `${JSON.stringify(makeLine())}\n`;
  const [short = "", ...others] = written(text);
  expect(others).toEqual([]);
  expect(short.endsWith("}\n")).toBe(true);
  expect(short.length).toBeLessThan(MOST_REPORT_CHARACTERS / 2);
  expect(JSON.parse(short)).toMatchObject({ ...kept, shortened: `from ${text.length} characters` });
});
