import type { Outcome } from "@millrace/core";
import { runAttempt, type TaskDefinition } from "@millrace/core/internal";
import { attemptInfoOf } from "./attempt-info.ts";
import { BusyClock } from "./busy-clock.ts";
import type { Outbox } from "./outbox.ts";
import type { RoomWatch } from "./room-watch.ts";
import type { RunningCall } from "./running-call.ts";
import type { RunningCalls } from "./running-calls.ts";
import type { ThreadState } from "./thread-state.ts";
import { TimeLimits } from "./time-limits.ts";

export interface CallAttemptsOptions {
  readonly state: ThreadState;
  readonly running: RunningCalls;
  readonly room: RoomWatch;
  readonly outbox: Outbox;
  /** The call has ended, having kept the event loop busy for so long. */
  readonly onOutcome: (call: RunningCall, outcome: Outcome, busyMs: number) => void;
  /** A call that did not end at once has ended, and its outcome was told. `wasCurrent`: it kept others from starting. */
  readonly onLateEnd: (wasCurrent: boolean) => void;
  /** The function of this call, by its number, goes on though the call has ended early. */
  readonly onGoesOn: (call: number) => void;
  /** Now that function has ended. */
  readonly onFunctionEnded: (call: number) => void;
}

/** Calls the functions of calls, with their time limits, and measures for how long they keep the event loop busy. */
export class CallAttempts {
  readonly #options: CallAttemptsOptions;
  readonly #running: RunningCalls;
  readonly #room: RoomWatch;
  readonly #limits: TimeLimits;
  readonly #clock = new BusyClock();
  /** The call that keeps others from starting. */
  #current: RunningCall | undefined;

  constructor(options: CallAttemptsOptions) {
    this.#options = options;
    this.#running = options.running;
    this.#room = options.room;
    this.#limits = new TimeLimits(options.state);
  }

  /** Does a call keep others from starting? */
  get hasCurrent(): boolean {
    return this.#current !== undefined;
  }

  /**
   * Resolves when another call may start; returns undefined when it may at once, since this one has ended.
   *
   * @param startedAt when the thread began with it, on the clock of `performance.now()`: large arguments take milliseconds to decode
   */
  run(
    task: TaskDefinition,
    args: readonly unknown[],
    running: RunningCall,
    number: number,
    startedAt: number,
  ): Promise<void> | undefined {
    const { timeoutSeconds } = running.batch.tasks[running.call.task]!;
    if (timeoutSeconds > 0) this.#limits.begin(number, timeoutSeconds);
    const info = attemptInfoOf(running, task, timeoutSeconds);
    const attempt = runAttempt(task, args, info, running);
    const aloneMs = performance.now() - startedAt;
    this.#clock.alone(aloneMs);
    if ("type" in attempt) {
      this.#end(running, number, attempt, aloneMs);
      return undefined;
    }
    running.attempt = attempt;
    running.info = info;
    this.#current = running;
    this.#running.add(running);
    // It awaits something: others need not wait with it. Most async functions end within this turn of the event loop; with a report
    // for each, they were a fifth to a third as many a second as functions that are not async, and are now half as many and more.
    this.#options.outbox.flushSoon();
    const begunAt = this.#clock.begin();
    const ended = attempt.outcome.then((outcome) => {
      this.#running.delete(running);
      const busyMs = aloneMs + this.#clock.end(begunAt);
      this.#room.observe(task, performance.now() - startedAt, busyMs);
      this.#end(running, number, outcome, busyMs);
      if (outcome.type !== "returned") void this.#watchFunction(number, attempt.functionEnded);
      this.#options.onLateEnd(this.#current === running);
    });
    return Promise.race([ended, running.parked(), this.#room.waits(running, task)]).then(() => {
      this.#room.stop();
      this.#current = undefined;
    });
  }

  #end(running: RunningCall, number: number, outcome: Outcome, busyMs: number): void {
    this.#limits.end(number);
    this.#options.onOutcome(running, outcome, busyMs);
  }

  /** The outcome of an attempt that was interrupted may be there before the end of its function. */
  async #watchFunction(call: number, functionEnded: Promise<void>): Promise<void> {
    let hasEnded = false;
    const ended = functionEnded.then(() => {
      hasEnded = true;
    });
    // A function that heeds its signal has ended after a turn or two.
    await new Promise(setImmediate);
    if (hasEnded) return;
    this.#options.onGoesOn(call);
    await ended;
    this.#options.onFunctionEnded(call);
  }
}
