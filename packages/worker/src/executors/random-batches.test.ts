/**
 * Batches of any shape, parts of which fail, end their threads, are handed back or cancelled: each call ends once, and as it may.
 *
 *     MILLRACE_TEST_BATCHES=5000 npx vitest run random-batches
 */
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { batchOf, type CallOf, Execution, FIXTURES, run, type Wait, waiting } from "../../testing/batches.ts";
import { FileGate } from "../../testing/file-gate.ts";
import { ThreadExecutor } from "./thread-executor.ts";

const { MILLRACE_TEST_BATCHES: batchCount = "150" } = process.env;
const numRuns = Number(batchCount);

/** How each task ends when nothing comes between. `exitOnce` ends its thread the first time that it sees its file. */
const KINDS = {
  echo: "returned",
  echoLater: "returned",
  computeInSteps: "returned",
  fail: "threw",
  failLater: "threw",
  exitOnce: "crashed",
} as const;

type TaskName = keyof typeof KINDS;

interface CallPlan {
  readonly task: TaskName;
  /** Calls before it, so many places back, whose values it gets. */
  readonly inputs: readonly number[];
  /** The same, whose values it does not get. */
  readonly after: readonly number[];
}

/** What comes between, once so many calls have ended. */
interface Intervention {
  readonly ended: number;
  /** A call by its place; undefined: the batch is handed back. */
  readonly cancelled: number | undefined;
}

const MOST_CALLS = 16;

/** A batch takes 20 to 70 ms; one that takes longer than this hangs. */
const HANGS_AFTER_MS = 10_000;

const often = (task: TaskName, weight: number) => ({ arbitrary: fc.constant(task), weight });
const places = fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 2 });
const plans = fc.record({
  calls: fc.array(
    fc.record<CallPlan>({
      task: fc.oneof(
        ...[often("echo", 8), often("echoLater", 4), often("computeInSteps", 3)],
        ...[often("fail", 3), often("failLater", 2), often("exitOnce", 1)],
      ),
      inputs: places,
      after: places,
    }),
    { minLength: 1, maxLength: MOST_CALLS },
  ),
  interventions: fc.array(
    fc.record<Intervention>({
      ended: fc.nat(MOST_CALLS),
      cancelled: fc.option(fc.nat(MOST_CALLS - 1), { nil: undefined }),
    }),
    { maxLength: 3 },
  ),
});

let gate: FileGate;

beforeEach(async () => {
  gate = await FileGate.make();
});

afterEach(() => gate.remove());

describe.each([1, 2])("with %i threads, a batch of any shape", (threads) => {
  let executor: ThreadExecutor;

  beforeAll(async () => {
    executor = new ThreadExecutor({ threads, root: FIXTURES });
    await executor.start("worker", ["tasks.js"]);
  });

  afterAll(() => executor.close());

  test("ends, each call once, and in a way that it may", { timeout: 20_000 + numRuns * 500 }, async () => {
    const known = gate.path("known");
    writeFileSync(known, "");
    const short = (task: TaskName): CallOf => [task, ...(task === "exitOnce" ? [known] : [0])];
    // Now all are known for short ones, and go to threads together.
    await run(executor, batchOf("tasks.js", ...(Object.keys(KINDS) as TaskName[]).map(short)));
    let files = 0;
    const fileFor = () => gate.path(`exit-${files++}`);
    await fc.assert(
      fc.asyncProperty(plans, async ({ calls, interventions }) => {
        const { batch, waits } = batchFor(calls, fileFor);
        const execution = new Execution(executor, batch);
        for (const { ended, cancelled } of interventions.toSorted((a, b) => a.ended - b.ended)) {
          await execution.until(() => execution.ended >= Math.min(ended, calls.length));
          if (cancelled === undefined) executor.handBack(batch.id);
          else if (cancelled < calls.length) execution.cancel(cancelled);
        }
        const outcomes = await execution.outcomes;
        for (const [place, { task }] of calls.entries()) {
          const { inputs, after } = waits[place] as Required<Wait>;
          const isBarred = [...inputs, ...after].some((at) => outcomes[at]?.kind !== "returned");
          const kinds = isBarred ? ["unstarted"] : kindsOf(task, calls, interventions);
          const wasCancelled = interventions.some(({ cancelled }) => cancelled === place);
          expect(wasCancelled ? [...kinds, "cancelled"] : kinds).toContain(outcomes[place]?.kind);
        }
      }),
      { numRuns, timeout: HANGS_AFTER_MS, endOnFailure: true },
    );
    await executor.idle();
    while (!executor.hasRoom()) await executor.room(); // A thread may be starting.
  });
});

function batchFor(calls: readonly CallPlan[], fileFor: () => string) {
  const waits = calls.map(({ inputs, after, task }, place): Required<Wait> => {
    const back = (far: readonly number[]) => far.map((by) => place - by).filter((at) => at >= 0);
    // These take an argument, which is not the value of another call.
    return task === "computeInSteps" || task === "exitOnce"
      ? { inputs: [], after: back([...new Set([...inputs, ...after])]) }
      : { inputs: back(inputs), after: back(after) };
  });
  const args = { computeInSteps: () => 1, exitOnce: fileFor } as Partial<Record<TaskName, () => unknown>>;
  const batch = batchOf("tasks.js", ...calls.map(({ task }): CallOf => [task, args[task]?.()]));
  return { batch: waiting(batch, waits), waits };
}

/** How a call may end for which others do not decide it. */
function kindsOf(
  task: TaskName,
  calls: readonly CallPlan[],
  interventions: readonly Intervention[],
): readonly string[] {
  const unstarted = interventions.some(({ cancelled }) => cancelled === undefined) ? ["unstarted"] : [];
  // Of several that had begun, nobody knows which ended the thread; the one that did so may end well when it is begun again here.
  const died = calls.some((call) => call.task === "exitOnce") ? ["crashed", "suspected"] : [];
  return [KINDS[task], ...unstarted, ...died, ...(task === "exitOnce" ? ["returned"] : [])];
}
