import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type Execution, executionsIn, flowRunIdOf, noteExecution } from "./journal.ts";

const FLOW = "01234567-89ab-cdef-0123-456789abcdef";

const execution = (changes: Partial<Execution> = {}): Execution => ({
  ...{ taskRunId: `${FLOW}-0`, attempt: 1, pid: 7, thread: 1, startedAt: 100, endedAt: 200 },
  ...changes,
});

describe("the executions in a journal", () => {
  test.each<[string, string[], Execution[]]>([
    ["none", [], []],
    ["one that ended", ["0 1 start 100 7/1", "0 1 end 200 7/1"], [execution()]],
    ["one whose process died", ["0 1 start 100 7/1"], [execution({ endedAt: undefined })]],
    [
      "one that was done again elsewhere",
      ["0 1 start 100 7/1", "0 1 start 150 8/1", "0 1 end 250 8/1"],
      [execution({ endedAt: undefined }), execution({ pid: 8, startedAt: 150, endedAt: 250 })],
    ],
    [
      "two attempts",
      ["0 1 start 100 7/1", "0 1 end 200 7/1", "0 2 start 300 7/1", "0 2 end 400 7/1"],
      [execution(), execution({ attempt: 2, startedAt: 300, endedAt: 400 })],
    ],
    [
      "an attempt twice in one thread: the first to begin is the first to end",
      ["0 1 start 100 7/1", "0 1 start 150 7/1", "0 1 end 200 7/1"],
      [execution(), execution({ startedAt: 150, endedAt: undefined })],
    ],
    [
      "an attempt in two threads of a process",
      ["0 1 start 100 7/1", "0 1 start 150 7/2", "0 1 end 200 7/2"],
      [execution({ endedAt: undefined }), execution({ thread: 2, startedAt: 150 })],
    ],
    [
      "two runs under way in one thread",
      ["0 1 start 100 7/1", "0.1-0 1 start 120 7/1", "0.1-0 1 end 140 7/1", "0 1 end 200 7/1"],
      [execution(), execution({ taskRunId: `${FLOW}-0.1-0`, startedAt: 120, endedAt: 140 })],
    ],
  ])("%s", (_, lines, expected) => {
    expect(executionsIn(lines.map((line) => `${FLOW}-${line}\n`).join(""))).toEqual(expected);
  });

  test("an end without a beginning is an error that shows the line", () => {
    const line = `${FLOW}-0 1 end 200 7/1`;
    expect(() => executionsIn(`${line}\n`)).toThrow(`Expected the beginning of what ended: ${line}`);
  });
});

describe("what is noted", () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-journal-"));
  afterEach(() => {
    vi.useRealTimers();
    rmSync(directory, { recursive: true, force: true });
  });

  test("can be read, in a file of its flow run", () => {
    vi.useFakeTimers({ now: 100 });
    const end = noteExecution(directory, `${FLOW}-0`, 1, "7/1");
    const path = join(directory, flowRunIdOf(`${FLOW}-0`));
    expect(executionsIn(readFileSync(path, "utf8"))).toEqual([execution({ endedAt: undefined })]);
    vi.setSystemTime(200);
    end();
    expect(executionsIn(readFileSync(path, "utf8"))).toEqual([execution()]);
  });
});
