import { describe, expect, test } from "vitest";
import type { CausedFault } from "./hits.ts";
import type { Execution } from "./journal.ts";
import type { RunFacts } from "./observations.ts";
import { type EndedFlow, judge, judgeAbandoned } from "./verdict.ts";

/** From a second far from 0, so that what is around it has a time too. */
const START = 1_000_000;
const END = START + 5_000;

const run = (changes: Partial<RunFacts> = {}): RunFacts => ({
  ...{ id: "f-0", births: 1, finals: ["COMPLETED Completed"], attempt: 1 },
  ...changes,
});

const executed = (changes: Partial<Execution> = {}): Execution => ({
  ...{ taskRunId: "f-0", attempt: 1, pid: 7, thread: 1, startedAt: START + 100, endedAt: START + 200 },
  ...changes,
});

const died = executed({ endedAt: undefined });

const fault = (changes: Partial<CausedFault> = {}): CausedFault => ({
  ...{ kind: "worker-kill", pids: [7], startedAt: START + 150, endedAt: START + 150, detail: "" },
  ...changes,
});

/** A chain of one call, whose answer is 0. */
const flow = (changes: Partial<EndedFlow> = {}): EndedFlow => ({
  ...{ flowRunId: "f", plan: { kind: "chain", size: 1 }, pid: 3, startedAt: START, endedAt: END },
  ...{ ending: { type: "COMPLETED", answer: 0 }, runs: [run()] },
  ...changes,
});

interface Case {
  readonly what: string;
  readonly flow?: Partial<EndedFlow>;
  readonly executions?: readonly Execution[];
  readonly faults?: readonly CausedFault[];
  /** What is wrong; nothing when it is not given. */
  readonly problem?: string;
}

const nested = (finals: readonly string[], births = finals.length) => run({ id: "f-0.1-0", births, finals });
const nestedExecuted = executed({ taskRunId: "f-0.1-0" });
const unavailable = { type: "FAILED", error: "BrokerUnavailableError: no Redis" } as const;
const lost = { type: "FAILED", error: "WorkerLostError: 4 times" } as const;
const lostRuns = [run({ finals: ["CRASHED Crashed"] })];
const many = (count: number, execution: Execution) => new Array<Execution>(count).fill(execution);

describe.each<[string, readonly Case[]]>([
  [
    "the ending",
    [
      { what: "is the answer" },
      {
        what: "is another answer",
        flow: { ending: { type: "COMPLETED", answer: 1 } },
        problem: 'the flow ended {"type":"COMPLETED","answer":1}, expected {"type":"COMPLETED","answer":0}',
      },
      {
        what: "is an error that nobody expects",
        flow: { ending: { type: "FAILED", error: "Error: no" } },
        problem: 'the flow ended {"type":"FAILED","error":"Error: no"}, expected',
      },
      {
        what: "is the error that is expected, by its beginning",
        flow: {
          plan: { kind: "fails", size: 3 },
          ending: { type: "FAILED", error: "RangeError: not before attempt 10, got 4" },
          runs: [run({ finals: ["FAILED Failed"] })],
        },
      },
      {
        what: "is that of a Redis that was away when the flow started",
        flow: { ending: unavailable, runs: [] },
        executions: [],
        faults: [fault({ kind: "redis-restart", endedAt: END })],
      },
      {
        what: "blames a Redis that was there",
        flow: { ending: unavailable, runs: [] },
        executions: [],
        faults: [fault({ kind: "worker-kill" })],
        problem: "the flow ended",
      },
      {
        what: "is a crash: the call was in four processes that died",
        flow: { ending: lost, runs: lostRuns },
        executions: many(4, died),
      },
      {
        what: "is a crash: the call was in three alone",
        flow: { ending: lost, runs: lostRuns },
        executions: many(3, died),
        problem: "the flow ended",
      },
    ],
  ],
  [
    "settling",
    [
      { what: "never", flow: { runs: [run({ finals: [] })] }, problem: "f-0 never settled" },
      {
        what: "twice",
        flow: { runs: [run({ finals: ["COMPLETED Completed", "COMPLETED Completed"] })] },
        problem: "f-0 settled 2 times: COMPLETED Completed, COMPLETED Completed",
      },
      {
        what: "is born twice",
        flow: { runs: [run({ births: 2 })] },
        problem: "f-0 was made 2 times, by 1 executions",
      },
      {
        what: "a nested run twice, as its call was executed twice",
        flow: { runs: [run(), nested(["COMPLETED Completed", "COMPLETED Completed"])] },
        executions: [died, executed(), nestedExecuted],
      },
      {
        what: "a nested run twice, and its call was executed once",
        flow: { runs: [run(), nested(["COMPLETED Completed", "COMPLETED Completed"], 1)] },
        executions: [executed(), nestedExecuted],
        problem: "f-0.1-0 settled 2 times",
      },
    ],
  ],
  [
    "executions",
    [
      {
        what: "none of a run that is completed",
        executions: [],
        problem: "attempt 1 of f-0 counts, and was never executed",
      },
      {
        what: "none of a run whose result was cached",
        flow: { runs: [run({ finals: ["COMPLETED Cached"] })] },
        executions: [],
      },
      {
        what: "none that came to its end",
        executions: [died],
        problem: "f-0 is completed, and no execution of it came to its end",
      },
      {
        what: "of an attempt beyond the last",
        executions: [executed(), executed({ attempt: 2 })],
        problem: "attempt 2 of f-0 was executed, and its last one is 1",
      },
      {
        what: "of a run that its flow does not know",
        executions: [executed(), executed({ taskRunId: "f-9" })],
        problem: "f-9 was executed, and its flow does not know it",
      },
    ],
  ],
])("%s", (_, cases) => {
  test.each(cases)("$what", ({ flow: changes, executions = [executed()], faults = [], problem }) => {
    const problems = judge(flow(changes), executions, faults);
    expect(problems).toEqual(problem === undefined ? [] : [expect.stringContaining(problem)]);
  });
});

test.each<[string, number, string[]]>([
  ["within its lease", 20_000, []],
  ["later", 20_100, ["f-0 was executed 20.1 s after its flow's process was killed; its lease is 20 s"]],
])("a call of a flow whose process was killed begins %s", (_, afterMs, expected) => {
  const late = executed({ startedAt: START + afterMs });
  expect(judgeAbandoned(START, [late], 20_000)).toEqual(expected);
});
