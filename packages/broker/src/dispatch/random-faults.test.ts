/**
 * Flows of any shape on a cluster that loses batches, threads and workers, repeats itself and is late, while runs are cancelled: each
 * call settles once, each run ends, and as it may.
 *
 *     MILLRACE_TEST_FAULTS=20000 npx vitest run random-faults          many flows
 *     MILLRACE_TEST_FAULTS_SEED=…  MILLRACE_TEST_FAULTS_PATH=…         the one that a failure has printed, again
 */
import { logTo } from "@millrace/core";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FaultyCluster } from "../../testing/faulty-cluster.ts";
import {
  FaultyFlow,
  mayCrash,
  type NestedPlan,
  nestedValueAt,
  type RunPlan,
  valueAt,
} from "../../testing/faulty-flow.ts";

const {
  MILLRACE_TEST_FAULTS: faultCount = "300",
  MILLRACE_TEST_FAULTS_SEED: seed,
  MILLRACE_TEST_FAULTS_PATH: path,
} = process.env;
const numRuns = Number(faultCount);

/** What happens next: in the cluster, or that a run is submitted or cancelled, or that time passes. */
interface Step {
  readonly what: keyof FaultyCluster["steps"] | "submit" | "cancel" | "pass time";
  readonly choice: number;
  /** Turns of the event loop until the next step. */
  readonly turns: number;
}

const MOST_RUNS = 14;
const MOST_STEPS = 200;

/** A flow takes about 10 ms: ten times that, and time to shrink one that fails. */
const MOST_MS = numRuns * 100 + 30_000;

/** One that hangs has nothing to do for so many turns, or does something for ever. */
const HANGS_AFTER_TURNS = 50;
const HANGS_AFTER_MS = 10_000;

const mostly = <T>(usual: T, weight: number, ...others: readonly T[]) =>
  fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
const often = (weight: number, ...steps: Step["what"][]) => ({
  weight,
  arbitrary: fc.constantFrom(...steps),
});

const deadly = {
  deaths: mostly(0, 8, 1, 2, 99),
  death: fc.constantFrom("thread" as const, "worker" as const),
  crashRetries: fc.nat(2),
};
const runPlans = fc.array(
  fc.record<RunPlan>({
    ...deadly,
    inputs: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
    after: mostly<readonly number[]>([], 3, [1], [2], [1, 3]),
    failures: mostly(0, 5, 1, 2),
    retries: fc.nat(2),
    priority: mostly(0, 6, 1),
    isLater: mostly(false, 3, true),
    isKept: mostly(false, 4, true),
    nested: fc.oneof(
      { weight: 5, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.record<NestedPlan>({ ...deadly, isAwaited: mostly(true, 3, false) }) },
    ),
  }),
  { minLength: 1, maxLength: MOST_RUNS, size: "max" },
);
const schedules = fc.array(
  fc.record<Step>({
    what: fc.oneof(
      often(60, "work"),
      often(24, "hear", "notify", "submit"),
      often(16, "tellStarted", "tellParked", "repeat", "pass time", "addWorker"),
      often(5, "cancel", "killThread", "killWorker", "stopWorker", "loseBatch", "beAway"),
    ),
    choice: fc.nat(999),
    turns: fc.nat(2),
  }),
  { maxLength: MOST_STEPS, size: "max" },
);

beforeEach(() => {
  logTo({ write: () => {} });
  // Time passes as the steps say, so that what fails does so again.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
  logTo(undefined);
});

test("flows end, each call once, and as it may", { timeout: 2 * MOST_MS }, async () => {
  await fc.assert(
    fc.asyncProperty(runPlans, schedules, async (plans, schedule) => {
      const faulty = new FaultyFlow(plans);
      const dispatcher = await faulty.opened;
      for (const step of schedule) {
        take(step, faulty);
        for (let count = 0; count < step.turns; count++) await turn();
      }
      await untilEnd(faulty);
      expectLegalEnds(faulty, plans);
      await expectSilence(faulty);
      await dispatcher.close();
    }),
    {
      ...{ numRuns, timeout: HANGS_AFTER_MS, interruptAfterTimeLimit: MOST_MS, markInterruptAsFailure: true },
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(path !== undefined && { path }),
    },
  );
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

function take({ what, choice }: Step, faulty: FaultyFlow): void {
  if (what === "submit") faulty.submitNext();
  else if (what === "cancel") faulty.cancel(choice);
  else if (what === "pass time") vi.advanceTimersByTime(choice * (choice % 7 === 0 ? 50 : 1));
  else faulty.cluster.steps[what](choice);
}

/** Without further trouble. */
async function untilEnd(faulty: FaultyFlow): Promise<void> {
  const { run, cluster } = faulty;
  for (let idleTurns = 0; !run.state.isFinal(); ) {
    faulty.submitNext();
    idleTurns = cluster.goOn() ? 0 : idleTurns + 1;
    vi.advanceTimersByTime(20);
    await turn();
    if (idleTurns < HANGS_AFTER_TURNS) continue;
    const open = await run.openRuns();
    throw new Error(`The flow hangs: ${open.map((one) => `${one.taskRunId} ${one.state}: ${one.reason}`)}`);
  }
}

function expectLegalEnds(faulty: FaultyFlow, plans: readonly RunPlan[]): void {
  const { cluster, openCalls, futures, cancelled } = faulty;
  expect(cluster.faults).toEqual([]);
  expect(openCalls.size).toBe(0);
  for (const [place, { failures, retries, crashRetries, inputs, nested }] of plans.entries()) {
    const { run, state } = futures[place]!;
    if (state.isCancelled() && cancelled.has(place)) continue;
    const statesOf = (places: readonly number[]) => places.map((at) => futures[at]!.state);
    const deaths = faulty.deathsOf(run.taskRunId, run.attempt);
    if (!statesOf(faulty.upstreamOf(place)).every((upstream) => upstream.isCompleted()))
      expect(state.name, `run ${place}`).toBe("NotReady");
    else if (
      state.type === "CRASHED" &&
      (mayCrash(deaths, crashRetries) || cluster.sentBeforeAway !== undefined)
    )
      continue;
    else if (faulty.failedNested.has(place) && state.type === "FAILED") continue;
    else {
      const values = statesOf(faulty.back(place, inputs)).map(({ data }) => data as number);
      if (nested?.isAwaited === true) values.push(nestedValueAt(place));
      const planned = failures > retries ? "Failed" : "Completed";
      expect([state.name, deaths.alone <= crashRetries], `run ${place}`).toEqual([planned, true]);
      if (planned === "Completed") expect(state.data, `run ${place}`).toBe(valueAt(place, values));
      // An attempt that its nested run has failed is one more.
      if (!faulty.failedNested.has(place)) expect(run.attempt).toBe(Math.min(failures, retries) + 1);
    }
  }
}

/** Nothing is left, and whatever is still said changes nothing. */
async function expectSilence({ cluster }: FaultyFlow): Promise<void> {
  const { sent, released, steps, faults } = cluster;
  const before = sent.length;
  while (cluster.goOn()) await turn(); // Nested calls may be left, which their callers did not wait for.
  for (let again = 0; again < 50; again++) {
    steps.repeat(again);
    vi.advanceTimersByTime(2_000);
    if (again % 5 === 0) await turn();
  }
  expect(sent.length).toBe(before);
  expect(faults).toEqual([]);
  expect(cluster.unsettled()).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  const unreleased = sent.slice(cluster.sentBeforeAway).filter(({ id }) => !released.includes(id));
  expect(unreleased).toEqual([]);
}
