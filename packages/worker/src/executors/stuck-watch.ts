import { STUCK_AFTER_MS } from "./thread-plan.ts";
import type { ThreadSlot } from "./thread-slot.ts";
import type { Threads } from "./threads.ts";

/** Sees which threads are longer about their calls than they should be, while another has nothing to do. */
export class StuckWatch {
  readonly #threads: Threads;
  readonly #onLooked: (stuck: readonly ThreadSlot[]) => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param onLooked gets the threads that have calls which an idle thread may as well run, if there are any */
  constructor(threads: Threads, onLooked: (stuck: readonly ThreadSlot[]) => void) {
    this.#threads = threads;
    this.#onLooked = onLooked;
  }

  /** A thread is idle. Looks once, when others have more than they do. */
  start(): void {
    const others = this.#threads.slots.filter(({ calls, isStuck }) => calls.hasWaiting && !isStuck);
    if (others.length === 0 || this.#timer !== undefined) return;
    const before = others.map(({ reports }) => reports);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#onLooked(
        others.filter(({ reports, calls }, index) => reports === before[index] && calls.hasWaiting),
      );
    }, STUCK_AFTER_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
