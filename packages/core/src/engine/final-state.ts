import { Quote } from "../definitions/annotations.ts";
import { TaskFuture } from "../futures/future.ts";
import { gather } from "../futures/gather.ts";
import { State } from "../futures/state.ts";
import { findDependencies, replaceFutures } from "./dependencies.ts";
import { stateError } from "./run-error.ts";
import { type FinalKind, Tally } from "./tally.ts";

/**
 * What a returned value makes of the run (Prefect's rule, prefect-behaviour section 1.4): a state made by hand is the
 * run's final state; futures and states of other runs, alone or as all the members of a list or set, decide it
 * together; futures elsewhere in the value are awaited, and their values take their place.
 *
 * @returns the value, or the State that the run ends in; a promise only when there is a future to wait for
 * @throws what a future inside another container failed with, since there is no value to put in its place
 */
export function resolveReturned(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof State) {
    const isMadeByHand = value.runId === undefined && value.isFinal(); // A run cannot end in a state that is not final.
    return isMadeByHand ? value : aggregateStates([value], value);
  }
  const members = Array.isArray(value) || value instanceof Set ? [...value] : [];
  const isAggregate = members.length > 0 && members.every(isFutureOrState);
  if (isAggregate && !members.some((member) => member instanceof TaskFuture)) {
    return aggregateStates(members as State[], value);
  }
  if (value instanceof Quote) return new State("COMPLETED", { data: value.value });
  const dependencies = findDependencies(value, false);
  if (dependencies === undefined) return value;
  return isAggregate ? resolveAggregate(members, value) : resolveNested(value, dependencies.futures);
}

function isFutureOrState(member: unknown): boolean {
  return member instanceof TaskFuture || member instanceof State;
}

async function resolveAggregate(
  members: readonly (TaskFuture<unknown> | State)[],
  container: unknown,
): Promise<unknown> {
  const runs = members.flatMap((member) => (member instanceof State ? [] : [member.run]));
  await gather(runs, false);
  const isCompleted = (member: TaskFuture<unknown> | State) =>
    member instanceof State ? member.isCompleted() : member.run.finalKind() === "completed";
  if (members.every(isCompleted)) return replaceFutures(container, (future) => future.run.value());
  const states = members.map((member) => (member instanceof State ? member : member.state));
  return aggregateStates(states, container);
}

async function resolveNested(value: unknown, futures: readonly TaskFuture<unknown>[]): Promise<unknown> {
  for (const future of futures) await future.result();
  return replaceFutures(value, (future) => future.run.value());
}

function aggregateStates(states: readonly State[], value: unknown): unknown {
  const tally = new Tally();
  states.forEach((state, number) => {
    tally.add(kindOf(state), number, () => stateError(state));
  });
  return tally.completed === tally.total ? value : aggregate(tally);
}

function kindOf(state: State): FinalKind {
  if (state.isCompleted()) return "completed";
  if (state.isCancelled()) return "cancelled";
  return state.isFailed() || state.isCrashed() ? "failed" : "notReady";
}

/** The state that many runs make together. Its data is the first failure, in order of submission. */
export function aggregate(tally: Tally): State {
  const { total, completed, cancelled, failed, notReady, firstFailure } = tally;
  if (completed === total) return new State("COMPLETED", { message: "All states completed." });
  if (cancelled > 0) {
    return new State("CANCELLED", { message: `${cancelled}/${total} states cancelled.`, data: firstFailure });
  }
  const message =
    failed > 0 ? `${failed}/${total} states failed.` : `${notReady}/${total} states are not final.`;
  return new State("FAILED", { message, data: firstFailure });
}
