import type { CallSurvey } from "../engine/why-open.ts";
import { Queue } from "../tools/queue.ts";
import { executeHere, LocalCalls } from "./local-calls.ts";
import type { Call, RunnerSession, TaskRunner } from "./task-runner.ts";

/**
 * Runs calls one at a time on the event loop of this process, in the order in which they become ready. Beside a call
 * that waits for a slot of a limit the next one runs: it may be the one that holds the slot.
 */
export class SequentialTaskRunner implements TaskRunner {
  readonly name = "sequential";

  async open(): Promise<RunnerSession> {
    return new SequentialSession();
  }
}

class SequentialSession implements RunnerSession {
  readonly #calls = new LocalCalls();
  readonly #queue = new Queue<Call>();
  #isRunning = false;

  submit(call: Call): void {
    this.#queue.push(call);
    if (this.#isRunning) return;
    this.#isRunning = true;
    queueMicrotask(() => this.#run());
  }

  cancel(call: Call): boolean {
    return this.#calls.cancel(call);
  }

  /** One runs, and one waits. */
  windowFor(): number {
    return 2;
  }

  async survey(): Promise<CallSurvey> {
    return this.#calls.survey(this.#queue);
  }

  async close(): Promise<void> {}

  async #run(): Promise<void> {
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
      const next = call;
      await new Promise<void>((resolve) => {
        const ended = executeHere(next, this.#calls, openSession, resolve);
        if (ended === undefined) resolve();
        else void ended.then(resolve);
      });
      await new Promise(setImmediate); // A long list must not starve timers and sockets.
    }
    this.#isRunning = false;
  }
}

const openSession = (): RunnerSession => new SequentialSession();
