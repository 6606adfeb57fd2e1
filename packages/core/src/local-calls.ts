import { runAttempt } from "./attempt.ts";
import { replaceFutures } from "./dependencies.ts";
import type { RunningAttempt } from "./running-attempt.ts";
import type { Call, RunnerSession } from "./task-runner.ts";

/** The calls of a session that executes in this process: those that run, and those that are to end before they start. */
export class LocalCalls {
  readonly #running = new Map<Call, RunningAttempt>();
  readonly #dropped = new Set<Call>();

  /** @see RunnerSession.cancel */
  cancel(call: Call): void {
    const attempt = this.#running.get(call);
    if (attempt === undefined) this.#dropped.add(call);
    else attempt.cancel("The task run was cancelled.");
  }

  isDropped(call: Call): boolean {
    return this.#dropped.size > 0 && this.#dropped.delete(call);
  }

  started(call: Call, attempt: RunningAttempt): void {
    this.#running.set(call, attempt);
  }

  ended(call: Call): void {
    this.#running.delete(call);
    if (this.#dropped.size > 0) this.#dropped.delete(call);
  }
}

/** Executes a call in this process. Resolves when it has settled; returns undefined when it already has. */
export function executeHere(
  call: Call,
  calls: LocalCalls,
  openSession: () => RunnerSession,
): Promise<void> | undefined {
  if (calls.isDropped(call)) {
    call.settle({ type: "cancelled" });
    return undefined;
  }
  let args = call.args;
  try {
    if (call.hasInputs) args = replaceFutures(args, (future) => future.run.input()) as unknown[];
  } catch (error) {
    call.settle({ type: "threw", error, retriable: false }); // An input came from a worker and cannot be decoded here.
    return undefined;
  }
  const { services } = call.scope.owner;
  const attempt = runAttempt(call.task, args, call, { services, openSession });
  if ("type" in attempt) {
    call.settle(attempt);
    return undefined;
  }
  calls.started(call, attempt);
  return attempt.outcome.then((outcome) => {
    calls.ended(call);
    call.settle(outcome);
  });
}
