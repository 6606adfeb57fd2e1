import { NoWorkersError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";

export interface NoWorkersWatchOptions {
  /** For messages. */
  readonly queue: string;
  readonly timeoutSeconds: number;
  /** How many calls wait. */
  readonly waiting: () => number;
  readonly onTimeout: (error: NoWorkersError) => void;
}

const WARNING_MS = 5_000;

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
    const { queue, timeoutSeconds, onTimeout } = this.#options;
    const error = new NoWorkersError(queue, timeoutSeconds);
    this.#timers = [
      setTimeout(() => {
        const waiting = this.#options.waiting();
        if (waiting > 0) processLogger().warn({ queue, waiting }, "calls wait: no worker serves their queue");
      }, WARNING_MS),
      setTimeout(() => {
        this.stop();
        onTimeout(error);
      }, timeoutSeconds * 1000),
    ];
  }

  /** There is a worker again, or nobody waits any more. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }
}
