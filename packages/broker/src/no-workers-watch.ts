import { NoWorkersError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";

export interface NoWorkersWatchOptions {
  /** For messages. */
  readonly queue: string;
  readonly timeoutSeconds: number;
  /** How many calls wait. */
  readonly waiting: () => number;
  /** How many workers serve the queue and have another secret. */
  readonly strangers: () => number;
  readonly onTimeout: (error: NoWorkersError) => void;
}

const WARNING_MS = 5_000;

/** Workers that are there and cannot serve are a mistake that only a person can mend: one need not wait to say so. */
const STRANGERS_WARNING_MS = 1_000;

/** Warns, and then gives up, when calls wait and no worker serves their queue. */
export class NoWorkersWatch {
  readonly #options: NoWorkersWatchOptions;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: NoWorkersWatchOptions) {
    this.#options = options;
  }

  /** There is no worker. Told again while that lasts, it goes on counting. */
  start(): void {
    if (this.#timers.length > 0) return;
    const { queue, timeoutSeconds, strangers, onTimeout } = this.#options;
    this.#timers = [
      setTimeout(() => {
        if (strangers() === 0) return;
        const error = new NoWorkersError(queue, timeoutSeconds, strangers());
        processLogger().warn({ queue, strangers: strangers() }, error.message);
      }, STRANGERS_WARNING_MS),
      setTimeout(() => {
        const waiting = this.#options.waiting();
        if (waiting > 0) processLogger().warn({ queue, waiting }, "calls wait: no worker serves their queue");
      }, WARNING_MS),
      setTimeout(() => {
        this.stop();
        onTimeout(new NoWorkersError(queue, timeoutSeconds, strangers()));
      }, timeoutSeconds * 1000),
    ];
  }

  /** There is a worker again, or nobody waits any more. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }
}
