import { NoWorkersError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import type { WorkerHelp } from "../broker.ts";

export interface NoWorkersWatchOptions {
  /** For messages. */
  readonly queue: string;
  readonly timeoutSeconds: number;
  /** How many calls wait. */
  readonly waiting: () => number;
  /** How many workers serve the queue and have another secret. */
  readonly strangers: () => number;
  /** Says how to start a worker, and which others there are; undefined when nobody can. */
  readonly findHelp: () => Promise<WorkerHelp> | undefined;
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
    this.#timers = [
      setTimeout(() => this.#warnOfStrangers(), STRANGERS_WARNING_MS),
      setTimeout(() => void this.#warn(), WARNING_MS),
      setTimeout(() => void this.#giveUp(), this.#options.timeoutSeconds * 1000),
    ];
  }

  /** There is a worker again, or nobody waits any more. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #warnOfStrangers(): void {
    const { queue, timeoutSeconds, waiting, strangers } = this.#options;
    if (strangers() === 0) return;
    const facts = { queue, seconds: timeoutSeconds, calls: waiting(), strangers: strangers() };
    processLogger().warn({ queue, strangers: strangers() }, new NoWorkersError(facts).message);
  }

  async #warn(): Promise<void> {
    const timers = this.#timers;
    const { queue, waiting, findHelp } = this.#options;
    const help = await findHelp();
    const calls = waiting();
    if (this.#timers !== timers || calls === 0) return; // A worker came meanwhile.
    processLogger().warn(
      { queue, waiting: calls, start: help?.command, elsewhere: help?.elsewhere },
      "calls wait: no worker serves their queue",
    );
  }

  async #giveUp(): Promise<void> {
    const timers = this.#timers;
    const { queue, timeoutSeconds, waiting, strangers, findHelp, onTimeout } = this.#options;
    const help = await findHelp();
    if (this.#timers !== timers) return;
    this.stop();
    onTimeout(
      new NoWorkersError({
        queue,
        seconds: timeoutSeconds,
        calls: waiting(),
        strangers: strangers(),
        ...help,
      }),
    );
  }
}
