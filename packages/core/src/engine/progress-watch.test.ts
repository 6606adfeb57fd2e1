import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { ConcurrentSession } from "../runners/concurrent-task-runner.ts";
import type { Call } from "../runners/task-runner.ts";
import type { FlowRun } from "./flow-run.ts";
import type { CallPlace, CallSurvey } from "./why-open.ts";

const logs = keepLogs();

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});

afterEach(() => {
  vi.useRealTimers();
});

const work = task({ name: "work" }, (n: number) => n);

/** Keeps its calls, and says of each that it is there. */
class KeepingSession extends ConcurrentSession {
  readonly calls: Call[] = [];
  place: CallPlace | undefined;
  surveys = 0;
  readonly #isFull = signal();

  override submit(call: Call): void {
    this.calls.push(call);
    if (this.calls.length === 3) this.#isFull.send();
  }

  override async survey(): Promise<CallSurvey> {
    this.surveys++;
    return { placeOf: () => this.place };
  }

  get isFull(): Promise<void> {
    return this.#isFull;
  }
}

/** A run of three calls that the session keeps. */
async function started(place: CallPlace | undefined): Promise<[KeepingSession, FlowRun<number[]>]> {
  const session = new KeepingSession();
  session.place = place;
  const taskRunner = { name: "keeping", open: async () => session };
  const run = flow({ name: "still", taskRunner }, () => work.map([1, 2, 3]).results()).start();
  await session.isFull;
  return [session, run];
}

async function end(session: KeepingSession, run: FlowRun<number[]>): Promise<void> {
  for (const call of session.calls) call.settle({ type: "returned", value: 0 });
  expect(await run.result()).toEqual([0, 0, 0]);
  expect(vi.getTimerCount()).toBe(0);
}

const seconds = (count: number) => vi.advanceTimersByTimeAsync(count * 1000);
const lines = (level: number) => logs().filter((line) => line.level === level);
const [WARN, ERROR] = [40, 50];

describe("a flow run that makes no progress", () => {
  test("says why, once, counted; and once more when it stands still again", async () => {
    const [session, run] = await started({ type: "no-workers", queue: "gpu" });
    await seconds(9);
    expect(logs()).toEqual([]);
    await seconds(100);
    expect(lines(WARN)).toMatchObject([
      {
        msg: "the flow run makes no progress",
        flowRunId: run.id,
        seconds: 10,
        reasons: [{ reason: 'No worker serves queue "gpu".', taskRuns: 3, example: `${run.id}-0` }],
      },
    ]);
    session.calls[0]?.settle({ type: "returned", value: 0 });
    await seconds(400);
    expect(lines(WARN)).toMatchObject([{}, { reasons: [{ taskRuns: 2 }] }]);
    await end(session, run);
  });

  test("is no news while something is executed", async () => {
    const [session, run] = await started({ type: "runs-here" });
    await seconds(1000);
    expect(logs()).toEqual([]);
    expect(session.surveys).toBeGreaterThan(1);
    expect(session.surveys).toBeLessThan(10);
    await end(session, run);
  });

  test("and of which nobody holds a run, is an error with the code of a bug", async () => {
    const [session, run] = await started(undefined);
    await seconds(21);
    await vi.waitFor(() => expect(lines(ERROR)).not.toEqual([])); // It looks more than once before it says so.
    expect(lines(ERROR)).toMatchObject([
      { err: { code: "ERR_LOST_RUN", message: expect.stringContaining(`${run.id}-0, ${run.id}-1`) } },
    ]);
    await end(session, run);
  });
});

test("a flow run that makes progress is not looked at", async () => {
  const [session, run] = await started(undefined);
  for (const call of session.calls) {
    await seconds(15); // Looked at each 10 s: there is always something new.
    call.settle({ type: "returned", value: 0 });
  }
  expect(await run.result()).toEqual([0, 0, 0]);
  expect(session.surveys).toBeLessThanOrEqual(1);
  expect(lines(ERROR)).toEqual([]);
});
