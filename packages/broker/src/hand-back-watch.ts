import type { Capacity, RunnerLink } from "./broker.ts";
import { HAND_BACK_AFTER_MS, planHandBack } from "./hand-back.ts";
import type { Outstanding } from "./outstanding.ts";
import type { Waiting } from "./waiting.ts";

export interface HandBackWatchOptions {
  readonly link: Pick<RunnerLink, "handBack">;
  readonly waiting: Pick<Waiting, "size">;
  readonly outstanding: Outstanding;
  readonly capacity: () => Capacity;
}

/** Asks for what has not started of batches that are slower than was thought, and keep calls from workers that have nothing to do. */
export class HandBackWatch {
  readonly #options: HandBackWatchOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HandBackWatchOptions) {
    this.#options = options;
  }

  /**
   * Calls were sent. Told again, it goes on; it ends by itself when there is no other worker, or no other call: but one that is to
   * run alone may wait for those of other runners.
   */
  start(): void {
    const { outstanding, capacity } = this.#options;
    if (this.#timer !== undefined || capacity().workers < 2) return;
    const [first] = outstanding.all();
    if (outstanding.size < 2 && first?.isAlone !== true) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look();
      this.start();
    }, HAND_BACK_AFTER_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const { link, waiting, outstanding, capacity } = this.#options;
    const now = performance.now();
    const hasBacklog = waiting.size > 0;
    const batches = outstanding.batches();
    for (const batchId of planHandBack({ ...capacity(), hasBacklog, batches, now })) {
      outstanding.asked(batchId, now);
      link.handBack(batchId);
    }
  }
}
