/** Compares what became of a graph with what was to become of it. */
import type { State } from "@millrace/core";
import { expect } from "vitest";
import { type GraphPlan, type NodePlan, upstreamOf } from "./plan.ts";
import { type Expected, expectedFlow, expectedOf } from "./reference.ts";
import type { Attempt, GraphRun, RunResult } from "./running.ts";
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

/** A run that the graph makes, in the flow or in an attempt of one of its runs. */
interface PlannedRun {
  readonly id: string;
  /** Of the run or the flow that makes it. */
  readonly scope: string;
  readonly node: NodePlan;
  readonly expected: Expected;
  /** Is it inside a run that holds the slot already? */
  readonly isInSlot: boolean;
}

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

/** What a run needs has ended before the run begins, in the tasks and in the events. */
function expectOrder(runs: readonly PlannedRun[], run: GraphRun): void {
  const ends = endsOf(run);
  const finalAt = new Map(run.events.map(({ taskRunId }, at) => [taskRunId, at]));
  const startAt = new Map<string, number>();
  for (const [at, { taskRunId, state }] of run.events.entries()) {
    if (state.type === "RUNNING" && !startAt.has(taskRunId)) startAt.set(taskRunId, at);
  }
  for (const { id, scope, node } of runs) {
    const [first, ...others] = run.attempts.get(id) ?? [];
    if (first === undefined) continue;
    expectNothingAfterTheEnd(id, others.at(-1) ?? first, run);
    for (const { from } of upstreamOf(node)) {
      const needed = `${scope}${from}`;
      expectBefore(ends.get(needed), first.startedNs, `the end of ${needed}`, `the start of ${id}`);
      // Cancelled on its way, it or what it needs may have begun before its flow knew: see docs/adr/0005-subgraph-batches.md.
      const isCutOff =
        run.cancelled !== undefined && ["Cancelled", "NotReady"].includes(finalName({ id }, run) ?? "");
      const start = startAt.get(id) ?? (isCutOff ? Number.POSITIVE_INFINITY : -1);
      expect(finalAt.get(needed), `the events of ${needed}`).toBeLessThan(start);
    }
    let before = first;
    for (const attempt of others) {
      expectBefore(
        endOfAttempt(id, before, run),
        attempt.startedNs,
        `attempt ${before.number} of ${id}`,
        "the next",
      );
      before = attempt;
    }
  }
  expectOneAtATime(runs, ends, run);
}

/** A function that was interrupted may go on for a moment, but none begins when its run is final. */
function expectNothingAfterTheEnd(id: string, last: Attempt, run: GraphRun): void {
  const final = eventsOf(id, run).at(-1);
  if (final === undefined) return;
  expectBefore(last.startedNs, final.seenNs, `the last attempt of ${id}`, "its final state");
  if (!wasInterrupted(id, run)) {
    expectBefore(endOfAttempt(id, last, run), final.seenNs, `the end of ${id}`, "its final state");
  }
}

/** Then its function may go on for a moment, on an event loop for as long as it likes: its slot is free all the same. */
function wasInterrupted(id: string, run: GraphRun): boolean {
  const { type, name } = eventsOf(id, run).at(-1)?.state ?? {};
  return !(type === "COMPLETED" || (type === "FAILED" && name !== "TimedOut"));
}

function expectOneAtATime(
  runs: readonly PlannedRun[],
  ends: ReadonlyMap<string, bigint>,
  run: GraphRun,
): void {
  const held = runs
    .filter(({ node, isInSlot }) => (node.isLimited ?? false) && !isInSlot)
    .flatMap(({ id }) =>
      (run.attempts.get(id) ?? []).map((attempt) => ({ id, attempt, end: endOfAttempt(id, attempt, run) })),
    )
    .sort((one, other) => (one.attempt.startedNs < other.attempt.startedNs ? -1 : 1));
  for (const [index, { id, attempt }] of held.entries()) {
    const before = held[index - 1];
    if (before === undefined || !ends.has(before.id) || wasInterrupted(before.id, run)) continue;
    expectBefore(before.end, attempt.startedNs, `${before.id} in its slot`, `${id} in the same`);
  }
}

function expectBefore(end: bigint | undefined, start: bigint, what: string, next: string): void {
  if (end !== undefined && end > start)
    throw new Error(`Expected ${what} before ${next}, got ${end - start} ns after.`);
}

/** When the last attempt of each run ended, those inside it included. */
function endsOf(run: GraphRun): Map<string, bigint> {
  const ends = new Map<string, bigint>();
  for (const [id, attempts] of run.attempts) {
    const last = latest(attempts.map(({ endedNs }) => endedNs));
    if (last === undefined) continue;
    for (let of = id; of !== ""; of = parentOf(of)) {
      const known = ends.get(of);
      if (known === undefined || known < last) ends.set(of, last);
    }
  }
  return ends;
}

function endOfAttempt(id: string, { number, endedNs }: Attempt, run: GraphRun): bigint | undefined {
  const inside = [...run.attempts].filter(([other]) => other.startsWith(`${id}.${number}-`));
  return latest([endedNs, ...inside.flatMap(([, attempts]) => attempts.map((attempt) => attempt.endedNs))]);
}

function latest(times: readonly (bigint | undefined)[]): bigint | undefined {
  return times.reduce(
    (one, other) => (one === undefined || (other !== undefined && other > one) ? other : one),
    undefined,
  );
}

/** `3` of `3.1-0`. */
function parentOf(id: string): string {
  return id.includes(".") ? id.slice(0, id.lastIndexOf(".")) : "";
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

function eventsOf(id: string, { events }: GraphRun) {
  return events.filter(({ taskRunId }) => taskRunId === id);
}

function finalName({ id }: Pick<PlannedRun, "id">, run: GraphRun): string | undefined {
  return eventsOf(id, run).at(-1)?.state.name;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);
}

function sorted(ids: readonly string[]): string[] {
  return [...new Set(ids)].sort();
}
