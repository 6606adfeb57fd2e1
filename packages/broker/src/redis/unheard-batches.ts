import { HEARTBEAT_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

export interface UnheardBatchesOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queueName: string;
  readonly workerId: string;
  /** Has the worker heard of the batch? */
  readonly isKnown: (batchId: string) => boolean;
}

/**
 * Gives up the leases on batches of which a worker has not heard: Redis gave them to it, and the connection was cut before the
 * answer came. It lives, so that nobody else takes them for lost before the lease has run out, 15 s later. Only after a cut does it look.
 */
export class UnheardBatches {
  readonly #options: UnheardBatchesOptions;
  /** Those of the look before: an answer may have been on its way. */
  #doubts = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  readonly #onReady = () => {
    this.#doubts.clear();
    this.#lookLater();
  };

  constructor(options: UnheardBatchesOptions) {
    this.#options = options;
    options.redis.on("ready", this.#onReady);
  }

  close(): void {
    this.#options.redis.off("ready", this.#onReady);
    clearTimeout(this.#timer);
  }

  #lookLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look().catch(() => {}), HEARTBEAT_MS); // Cut again: then there is another look.
  }

  async #look(): Promise<void> {
    const { redis, keys, queueName, workerId, isKnown } = this.#options;
    const taken = await redis.lrange(keys.active(queueName), 0, -1);
    const holders = await Promise.all(taken.map((id) => redis.get(keys.lease(queueName, id))));
    const unheard = taken.filter((id, index) => holders[index] === workerId && !isKnown(id));
    // Without a lease, whoever waits for it sends its calls again; a second worker has it only under another id.
    for (const id of unheard) if (this.#doubts.has(id)) await redis.del(keys.lease(queueName, id));
    const isFirst = this.#doubts.size === 0;
    this.#doubts = new Set(unheard);
    if (isFirst && unheard.length > 0) this.#lookLater();
  }
}
