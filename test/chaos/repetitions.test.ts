import { describe, expect, test } from "vitest";
import type { DyingTask } from "./deaths.ts";
import type { CausedFault } from "./hits.ts";
import type { Execution } from "./journal.ts";
import { judgeRepetitions, RECOVERY_MS, REPORT_MS } from "./repetitions.ts";

/** From a second far from 0, so that what is before it has a time too. */
const START = 1_000_000;
const FLOW = 3;
const ONE = 7;
const OTHER = 8;

const executed = (changes: Partial<Execution> = {}): Execution => ({
  ...{ taskRunId: "f-0", attempt: 1, pid: ONE, thread: 1, startedAt: START, endedAt: START + 100 },
  ...changes,
});

const cutShort = executed({ endedAt: undefined });
const again = executed({ pid: OTHER, startedAt: START + 9_000, endedAt: START + 9_100 });

/** In ms behind the begin of the first execution. */
const fault = (kind: CausedFault["kind"], pid: number, startMs: number, endMs = startMs): CausedFault => ({
  kind,
  pids: [pid],
  startedAt: START + startMs,
  endedAt: START + endMs,
  detail: "",
});

const kill = fault("worker-kill", ONE, 50);
const restart = fault("redis-restart", 1, 50, 1_000);

interface Case {
  readonly what: string;
  readonly executions?: readonly Execution[];
  readonly faults?: readonly CausedFault[];
  readonly deaths?: readonly DyingTask[];
  readonly causes?: readonly string[];
  readonly problem?: string;
}

const UNEXPLAINED = "attempt 1 of f-0 was executed again by 8/1 without a cause";
const nested = (changes: Partial<Execution>) => executed({ taskRunId: "f-0.1-0", ...changes });

describe.each<[string, readonly Case[]]>([
  [
    "an execution",
    [
      { what: "once", executions: [executed()] },
      { what: "again, by nobody's fault", problem: UNEXPLAINED },
      { what: "again, as its worker was killed", faults: [kill], causes: ["worker-kill"] },
      {
        what: "again, as another was killed",
        faults: [fault("worker-kill", OTHER, 50)],
        problem: UNEXPLAINED,
      },
      {
        what: "again, as its worker was killed before it began",
        faults: [fault("worker-kill", ONE, -RECOVERY_MS - 1)],
        problem: UNEXPLAINED,
      },
      {
        what: "again, and its worker was killed after that",
        faults: [fault("worker-kill", ONE, 9_001)],
        problem: UNEXPLAINED,
      },
      {
        what: "of another attempt is no repetition",
        executions: [executed(), executed({ attempt: 2, startedAt: START + 200 })],
      },
      {
        what: "again, as a task ended its thread",
        deaths: [{ how: "exit", at: START + 50, pid: ONE, thread: 1 }],
        causes: ["task-exit"],
      },
      {
        what: "again, as a task ended another thread of its process",
        deaths: [{ how: "exit", at: START + 50, pid: ONE, thread: 2 }],
        problem: UNEXPLAINED,
      },
      {
        what: "again, as its flow's process was frozen for longer than its lease",
        faults: [fault("flow-freeze", FLOW, -3_000, 8_000)],
        causes: ["flow-freeze"],
      },
      {
        what: "again, as the process of another flow was",
        faults: [fault("flow-freeze", 4, -3_000, 8_000)],
        problem: UNEXPLAINED,
      },
    ],
  ],
  [
    "one that had ended",
    [
      {
        what: "just before its worker was killed",
        executions: [executed(), again],
        faults: [fault("worker-kill", ONE, 100 + REPORT_MS)],
        causes: ["worker-kill"],
      },
      {
        what: "long before",
        executions: [executed(), again],
        faults: [fault("worker-kill", ONE, 101 + REPORT_MS)],
        problem: UNEXPLAINED,
      },
      {
        what: "long before, with Redis away in between",
        executions: [executed(), again],
        faults: [fault("redis-pause", 1, 50, 3_000), fault("worker-kill", ONE, 3_100)],
        causes: ["worker-kill"],
      },
      {
        what: "long before Redis lost its data, and what it gave with it",
        executions: [executed(), again],
        faults: [fault("redis-restart-empty", 1, 5_000, 6_000)],
        causes: ["redis-restart-empty"],
      },
    ],
  ],
  [
    "one that began after the hit was over",
    [
      {
        what: "before it was noticed",
        executions: [cutShort, again],
        faults: [fault("redis-restart", 1, -RECOVERY_MS - 100, -RECOVERY_MS)],
        causes: ["redis-restart"],
      },
      {
        what: "long after",
        executions: [cutShort, again],
        faults: [fault("redis-restart", 1, -RECOVERY_MS - 100, -RECOVERY_MS - 1)],
        problem: UNEXPLAINED,
      },
      {
        what: "by a worker that came back, and did not know that another had it",
        executions: [executed(), again],
        faults: [fault("worker-freeze", OTHER, -2_000, 8_900)],
        causes: ["worker-freeze"],
      },
    ],
  ],
  [
    "several",
    [
      {
        what: "for as many faults",
        executions: [
          cutShort,
          { ...again, endedAt: undefined },
          executed({ pid: 9, startedAt: START + 20_000 }),
        ],
        faults: [kill, fault("worker-kill", OTHER, 9_050)],
        causes: ["worker-kill", "worker-kill"],
      },
      {
        what: "for one",
        executions: [cutShort, executed({ startedAt: START + 1_500 }), again],
        faults: [restart],
        causes: ["redis-restart", "redis-restart"],
        problem: "attempt 1 of f-0 was executed 3 times, with 1 possible causes",
      },
    ],
  ],
  [
    "a nested one",
    [
      {
        what: "as its caller was executed again",
        executions: [
          cutShort,
          nested({ pid: 9, startedAt: START + 10 }),
          again,
          nested({ startedAt: START + 9_050 }),
        ],
        faults: [kill],
        causes: ["worker-kill", "its caller"],
      },
      {
        what: "and its caller was executed once",
        executions: [
          executed(),
          nested({ pid: 9, startedAt: START + 10 }),
          nested({ startedAt: START + 9_050 }),
        ],
        faults: [kill],
        problem: "attempt 1 of f-0.1-0 was executed again by 7/1 without a cause",
      },
    ],
  ],
])("%s", (_, cases) => {
  test.each(cases)(
    "$what",
    ({ executions = [cutShort, again], faults = [], deaths = [], causes = [], problem }) => {
      expect(judgeRepetitions(executions, { faults, deaths }, FLOW)).toMatchObject({
        causes,
        problems: problem === undefined ? [] : [problem],
      });
    },
  );
});
