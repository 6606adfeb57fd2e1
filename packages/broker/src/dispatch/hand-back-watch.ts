import type { Capacity, RunnerLink } from "../broker.ts";
import { SWEEP_MS } from "../intervals.ts";
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
   * run alone may wait for those of other runners, and is not to wait for ever for its only worker.
   */
  start(): void {
    const { outstanding, capacity } = this.#options;
    if (this.#timer !== undefined) return;
    const hasOthers = capacity().workers > 1;
    if (!outstanding.hasAlone && (!hasOthers || outstanding.size < 2)) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#look();
        this.start();
      },
      hasOthers ? HAND_BACK_AFTER_MS : SWEEP_MS,
    );
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
