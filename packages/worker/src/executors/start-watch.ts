import type { PendingCall } from "./pending-call.ts";
import type { Threads } from "./threads.ts";

/**
 * A call that goes on for so long is reported as started: should the process die, it is one of those that may be why. A report
 * costs some 50 µs in three processes; a look, on two cores whose threads compute, as much. Every 5 ms, looks alone took 2 %
 * of the time of 2,000 tasks of 1 ms (bench: throughput).
 */
const LOOK_EVERY_MS = 10;

/** Tells of calls that have begun and go on: of each once, between one and two looks after its begin. */
export class StartWatch {
  readonly #threads: Threads;
  readonly #onStarted: (calls: readonly PendingCall[]) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(threads: Threads, onStarted: (calls: readonly PendingCall[]) => void) {
    this.#threads = threads;
    this.#onStarted = onStarted;
  }

  /** A thread has calls. Looks until none has any that it has not told of. */
  start(): void {
    this.#timer ??= setTimeout(() => this.#look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#timer = undefined;
    const started: PendingCall[] = [];
    let isDue = false;
    for (const slot of this.#threads.all) {
      const begun = slot.calls.begun();
      for (const call of begun) {
        if (call.start === "told") continue;
        if (call.start === "seen") started.push(call);
        call.start = call.start === "seen" ? "told" : "seen";
        isDue = true;
      }
      isDue ||= slot.calls.inFlight.size > begun.length;
    }
    if (started.length > 0) this.#onStarted(started);
    if (isDue) this.start();
  }
}
