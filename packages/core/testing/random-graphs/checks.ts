/** Compares what became of a graph with what was to become of it. */
import type { State } from "@millrace/core";
import { expect } from "vitest";
import { eventsOf, expectOrder, finalName, type PlannedRun } from "./order.ts";
import { type GraphPlan, type NodePlan, upstreamOf } from "./plan.ts";
import { type Expected, expectedFlow, expectedOf } from "./reference.ts";
import type { GraphRun, RunResult } from "./running.ts";
import { digest } from "./values.ts";

/** Nothing disturbed the graph: everything is as the reference says. */
export function expectAsPlanned(plan: GraphPlan, run: GraphRun): void {
  const expected = expectedOf(plan);
  const runs = runsOf(plan, expected, run);
  expect(Object.fromEntries(runs.map((each) => [each.id, observed(each, run)]))).toEqual(
    Object.fromEntries(runs.map((each) => [each.id, planned(each, run)])),
  );
  expect(run.results.map(resultFacts)).toEqual(
    run.results.map((result, index) => expectedFacts(expected[index] as Expected, result)),
  );
  expect(run.flow).toBe(expectedFlow(expected));
  expectOneOfEqualCallsRan(runs, run);
  expectOrder(runs, run);
}

/**
 * The flow run was cancelled, or one task run in it. What is not CANCELLED is as it would be without, given how that
 * which it needs ended; only what was cancelled is, and all of it that had not begun.
 */
export function expectCancelledAsPlanned(plan: GraphPlan, run: GraphRun): void {
  const expected = expectedOf(plan);
  const runs = runsOf(plan, expected, run);
  for (const [index, result] of run.results.entries()) {
    expect(result.state.isFinal(), `node ${index} is final`).toBe(true);
    if (wasWaiting(index, plan, run))
      expect(result.state.type, `node ${index}, which waited`).toBe("CANCELLED");
    else if (hasGone(plan.nodes[index] as NodePlan, result, run)) continue;
    else if (result.state.type !== "CANCELLED" || !wasCancelled(index, run)) {
      expectConsequence(index, plan.nodes[index] as NodePlan, expected[index] as Expected, run);
    }
  }
  if (run.cancelled?.target !== undefined) {
    expect(run.flow).toBe(expectedFlow(run.results.map(({ state }) => state)));
  }
  for (const each of runs) expectLegalEvents(each, run);
  expectOrder(runs, run);
}

/** Its flow run was cancelled, and took its large value along before that was here: see docs/adr/0006-values-by-reference.md. */
function hasGone({ value }: NodePlan, { state, error = "" }: RunResult, { cancelled }: GraphRun): boolean {
  const isFlowCancelled = cancelled !== undefined && cancelled.target === undefined;
  return isFlowCancelled && value === "bytes" && state.isCompleted() && ENDED_WITH_ITS_FLOW.test(error);
}

const ENDED_WITH_ITS_FLOW = /^ValueLostError: .*: its flow run has ended\./;

/** The end of a node, given how those that it needs ended, is as planned. */
function expectConsequence(index: number, node: NodePlan, expected: Expected, run: GraphRun): void {
  const result = run.results[index] as RunResult;
  const states = run.results.map(({ state }) => state);
  const unfit = unfitFor(node, states);
  if (unfit.length === 0) {
    expect(resultFacts(result), `node ${index}`).toEqual(expectedFacts(expected, result));
  } else {
    expect(result.state.name, `node ${index}`).toBe("NotReady");
    expect(unfit.map(String), "what the message names").toContain(upstreamNamedIn(result.state.message));
  }
}

function wasCancelled(index: number, { cancelled }: GraphRun): boolean {
  return cancelled !== undefined && (cancelled.target === undefined || cancelled.target === index);
}

/**
 * Was it cancelled before it was given to the runner, while it could still be? A node that was submitted afterwards has no state from
 * before. One that needs a run which has ended and does not suit it ends so, perhaps only when its worker has said that it has not begun.
 */
function wasWaiting(index: number, { nodes }: GraphPlan, run: GraphRun): boolean {
  const before = run.cancelled?.before ?? [];
  const waited = (at: number) => before[at] !== undefined && !before[at].isFinal() && !before[at].isRunning();
  const isDecided: boolean[] = []; // A node needs nodes before it.
  for (const [at, node] of nodes.entries()) {
    const unfit = unfitFor(node, before);
    isDecided.push(waited(at) && unfit.some((from) => before[from]?.isFinal() === true || isDecided[from]));
  }
  return waited(index) && !isDecided[index] && wasCancelled(index, run);
}

// ---- One run, and what is known of it ------------------------------------------------------------------------------

/** Every run that was made: those of the flow, and those inside attempts that were made. */
function runsOf(plan: GraphPlan, expected: readonly Expected[], run: GraphRun): PlannedRun[] {
  const runs: PlannedRun[] = [];
  const add = (
    nodes: readonly NodePlan[],
    inScope: readonly Expected[],
    scope: string,
    isInSlot: boolean,
  ) => {
    for (const [index, node] of nodes.entries()) {
      const id = `${scope}${index}`;
      const planned = { id, scope, node, expected: inScope[index] as Expected, isInSlot };
      runs.push(planned);
      for (const { number } of run.attempts.get(id) ?? []) {
        add(
          node.inner?.nodes ?? [],
          planned.expected.inner,
          `${id}.${number}-`,
          isInSlot || (node.isLimited ?? false),
        );
      }
    }
  };
  add(plan.nodes, expected, "", false);
  return runs;
}

function observed({ id }: PlannedRun, run: GraphRun) {
  const events = eventsOf(id, run);
  return {
    states: events.map(({ state, attempt }) => `${state.type} ${state.name} ${attempt}`),
    inputs: sorted(events.at(-1)?.inputs ?? []),
    attempts: (run.attempts.get(id) ?? []).map(({ number }) => number),
  };
}

function planned(each: PlannedRun, run: GraphRun): ReturnType<typeof observed> {
  const { expected, scope, node } = each;
  const isCached = finalName(each, run) === "Cached" && expected.cacheKey !== undefined;
  const attempts = isCached ? 0 : expected.attempts;
  return {
    states: [
      "PENDING Pending 0",
      ...range(1, attempts).flatMap((attempt) => statesOf(each, attempt)),
      isCached ? "COMPLETED Cached 0" : `${expected.type} ${expected.name} ${attempts}`,
    ],
    inputs: sorted(upstreamOf(node).map(({ from }) => `${scope}${from}`)),
    attempts: range(1, attempts),
  };
}

/** The states that one attempt brings. */
function statesOf({ node, isInSlot }: PlannedRun, attempt: number): string[] {
  const { isLimited = false, retryDelaySeconds = 0 } = node;
  const hasDelay = attempt > 1 && retryDelaySeconds > 0;
  return [
    ...(hasDelay ? [`SCHEDULED AwaitingRetry ${attempt - 1}`] : []),
    ...(isLimited && !isInSlot ? [`PENDING AwaitingConcurrencySlot ${attempt - 1}`] : []),
    `RUNNING ${attempt === 1 ? "Running" : "Retrying"} ${attempt}`,
  ];
}

/** Its events are those that it would have without, up to a point, and one final state. */
function expectLegalEvents(each: PlannedRun, run: GraphRun): void {
  const events = eventsOf(each.id, run);
  if (events.length === 0) return; // It was not made any more.
  const names = events.map(({ state, attempt }) => `${state.type} ${state.name} ${attempt}`);
  const { expected } = each;
  const attempts = Math.max(expected.attempts, ...events.map(({ attempt }) => attempt));
  const whole = ["PENDING Pending 0", ...range(1, attempts).flatMap((attempt) => statesOf(each, attempt))];
  expect(names.slice(0, -1), `the states of run ${each.id}`).toEqual(whole.slice(0, names.length - 1));
  const last = events.at(-1)?.state;
  const ends = [
    `${expected.type} ${expected.name}`,
    "COMPLETED Cached",
    "PENDING NotReady",
    "CANCELLED Cancelled",
  ];
  expect(ends, `the end of run ${each.id}`).toContain(`${last?.type} ${last?.name}`);
  const made = (run.attempts.get(each.id) ?? []).map(({ number }) => number);
  expect(made, `the attempts of run ${each.id}`).toEqual(range(1, made.length));
  expect(made.length).toBeLessThanOrEqual(expected.attempts);
}

function resultFacts({ state, value, error }: RunResult) {
  const { type, name } = state;
  const isUnstarted = name === "NotReady"; // Which run its message names is known by the ids alone.
  return {
    state: `${type} ${name}`,
    message: isUnstarted ? undefined : state.message,
    value: digest(value),
    error: isUnstarted ? error?.slice(0, "UnfinishedRunError: ".length) : error,
  };
}

/** Which of equal calls runs is left open. */
function expectedFacts({ type, name, message, value, error, cacheKey }: Expected, { state }: RunResult) {
  const isCached = type === "COMPLETED" && cacheKey !== undefined && state.name === "Cached";
  return {
    state: `${type} ${isCached ? "Cached" : name}`,
    message: isCached ? "" : message,
    value: digest(value),
    error,
  };
}

// ---- Relations between runs --------------------------------------------------------------------------------------

function expectOneOfEqualCallsRan(runs: readonly PlannedRun[], run: GraphRun): void {
  const ran = new Map<string, number>();
  for (const { id, scope, expected } of runs) {
    if (expected.cacheKey === undefined || expected.type !== "COMPLETED") continue;
    const key = `${scope} ${expected.cacheKey}`;
    ran.set(key, (ran.get(key) ?? 0) + (run.attempts.has(id) ? 1 : 0));
  }
  for (const [key, count] of ran) expect(count, `runs of the equal calls "${key}"`).toBe(1);
}

/** The nodes that keep this one from starting, as their states are. */
function unfitFor(node: NodePlan, states: readonly State[]): number[] {
  const upstream = upstreamOf(node);
  const strict = new Set(
    upstream.filter(({ allowsFailure = false }) => !allowsFailure).map(({ from }) => from),
  );
  return upstream
    .map(({ from }) => from)
    .filter((from) => {
      const type = states[from]?.type;
      return !(type === "COMPLETED" || (type === "FAILED" && !strict.has(from)));
    });
}

function upstreamNamedIn(message: string): string | undefined {
  return /^Upstream task run '.+-(\d+)' did not reach a 'COMPLETED' state\.$/.exec(message)?.[1];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);
}

function sorted(ids: readonly string[]): string[] {
  return [...new Set(ids)].sort();
}
