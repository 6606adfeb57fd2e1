import { runAttempt } from "../engine/attempt.ts";
import { replaceFutures } from "../engine/dependencies.ts";
import type { RunningAttempt } from "../engine/running-attempt.ts";
import type { CallSurvey } from "../engine/why-open.ts";
import type { Limiter, SlotRequest, Slots } from "../limits/limiter.ts";
import type { Queue } from "../tools/queue.ts";
import type { Call, RunnerSession } from "./task-runner.ts";

/** The calls of a session that executes in this process: those that run, and those that are to end before they start. */
export class LocalCalls {
  readonly #running = new Map<Call, RunningAttempt>();
  readonly #dropped = new Set<Call>();

  /** @see RunnerSession.cancel */
  cancel(call: Call): boolean {
    const attempt = this.#running.get(call);
    if (attempt !== undefined) attempt.cancel("The task run was cancelled.");
    else {
      this.#dropped.add(call); // It stays where it waits, and is left out when its turn comes.
      queueMicrotask(() => call.settle({ type: "cancelled" }));
    }
    return true;
  }

  isDropped(call: Call): boolean {
    return this.#dropped.size > 0 && this.#dropped.delete(call);
  }

  /** @param queued the calls that have not begun, in order */
  survey(queued: Queue<Call>): CallSurvey {
    let ahead: Map<object, number> | undefined;
    const indexed = () => {
      const positions = new Map<object, number>();
      for (const call of queued) positions.set(call, positions.size);
      return positions;
    };
    return {
      placeOf: (call) => {
        if (this.#running.has(call as Call)) return { type: "runs-here" };
        ahead ??= indexed();
        const position = ahead.get(call);
        return position === undefined ? undefined : { type: "awaits-turn", ahead: position };
      },
      scopeIn: (call) => this.#running.get(call as Call)?.scope,
    };
  }

  started(call: Call, attempt: RunningAttempt): void {
    this.#running.set(call, attempt);
  }

  ended(call: Call): void {
    this.#running.delete(call);
    if (this.#dropped.size > 0) this.#dropped.delete(call);
  }
}

/**
 * Executes a call in this process. Resolves when it has settled; returns undefined when it already has.
 *
 * @param onWait told when the call waits for a slot of a limit: whoever has it may be waiting for the call's place
 */
export function executeHere(
  call: Call,
  calls: LocalCalls,
  openSession: () => RunnerSession,
  onWait?: () => void,
): Promise<void> | undefined {
  if (calls.isDropped(call)) return undefined;
  let args = call.args;
  try {
    if (call.hasInputs) args = replaceFutures(args, (future) => future.run.input()) as unknown[];
  } catch (error) {
    call.settle({ type: "threw", error, retriable: false }); // An input came from a worker and cannot be decoded here.
    return undefined;
  }
  const given = call.scope.owner.services;
  const services =
    onWait === undefined ? given : { ...given, limiter: new WatchedLimiter(given.limiter, onWait) };
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

/** Tells when a request has to wait. */
class WatchedLimiter implements Limiter {
  readonly #limiter: Limiter;
  readonly #onWait: () => void;

  constructor(limiter: Limiter, onWait: () => void) {
    this.#limiter = limiter;
    this.#onWait = onWait;
  }

  isLimited(name: string): boolean {
    return this.#limiter.isLimited(name);
  }

  acquire(request: SlotRequest): Promise<Slots> {
    let isWaiting = true;
    const slots = this.#limiter.acquire(request).finally(() => {
      isWaiting = false;
    });
    setImmediate(() => isWaiting && this.#onWait());
    return slots;
  }
}
