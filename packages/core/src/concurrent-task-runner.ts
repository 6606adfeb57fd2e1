import { runAttempt } from "./attempt.ts";
import { replaceFutures } from "./dependencies.ts";
import type { Call, RunnerSession, TaskRunner } from "./task-runner.ts";

/**
 * Runs calls on the event loop of this process, as many at once as they await. The default. A call that computes
 * blocks the others, as anything does on an event loop: choose the DistributedTaskRunner for those.
 */
export class ConcurrentTaskRunner implements TaskRunner {
  readonly name = "concurrent";

  async open(): Promise<RunnerSession> {
    return new ConcurrentSession();
  }
}

/** Calls started in a row before the event loop gets a turn for timers and sockets. */
const SLICE_MS = 5;

export class ConcurrentSession implements RunnerSession {
  #queue: Call[] = [];
  #isDraining = false;
  readonly #drain = () => this.#startQueued();

  submit(call: Call): void {
    this.#queue.push(call);
    if (this.#isDraining) return;
    this.#isDraining = true;
    queueMicrotask(this.#drain);
  }

  async close(): Promise<void> {}

  #startQueued(): void {
    const sliceEnd = performance.now() + SLICE_MS;
    let started = 0;
    // The queue grows while it is drained: what a call's end makes ready runs in the same slice.
    while (started < this.#queue.length) {
      executeHere(this.#queue[started++] as Call, openSession);
      if ((started & 31) === 0 && performance.now() > sliceEnd) break;
    }
    this.#queue = this.#queue.slice(started);
    if (this.#queue.length > 0) setImmediate(this.#drain);
    else this.#isDraining = false;
  }
}

/** Executes a call in this process. Resolves when it has settled; returns undefined when it already has. */
export function executeHere(call: Call, openNested: () => RunnerSession): Promise<void> | undefined {
  let args = call.args;
  try {
    if (call.hasInputs) args = replaceFutures(args, (future) => future.run.input()) as unknown[];
  } catch (error) {
    call.settle({ type: "threw", error, retriable: false }); // An input came from a worker and cannot be decoded here.
    return undefined;
  }
  const outcome = runAttempt(call.task, args, call, openNested);
  if (!(outcome instanceof Promise)) {
    call.settle(outcome);
    return undefined;
  }
  return outcome.then((ended) => call.settle(ended));
}

const openSession = (): RunnerSession => new ConcurrentSession();
