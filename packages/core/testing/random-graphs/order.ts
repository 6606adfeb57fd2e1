/** Which of the runs of a graph come before which: by the marks that their functions left, and by the events. */
import { expect } from "vitest";
import { type NodePlan, upstreamOf } from "./plan.ts";
import type { Expected } from "./reference.ts";
import type { Attempt, GraphRun } from "./running.ts";

/** A run that the graph makes, in the flow or in an attempt of one of its runs. */
export interface PlannedRun {
  readonly id: string;
  /** Of the run or the flow that makes it. */
  readonly scope: string;
  readonly node: NodePlan;
  readonly expected: Expected;
  /** Is it inside a run that holds the slot already? */
  readonly isInSlot: boolean;
}

/** What a run needs has ended before the run begins, in the tasks and in the events. */
export function expectOrder(runs: readonly PlannedRun[], run: GraphRun): void {
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

// ---- What is known of a run -----------------------------------------------------------------------------------------

export function eventsOf(id: string, { events }: GraphRun) {
  return events.filter(({ taskRunId }) => taskRunId === id);
}

export function finalName({ id }: Pick<PlannedRun, "id">, run: GraphRun): string | undefined {
  return eventsOf(id, run).at(-1)?.state.name;
}
