import { setTimeout as sleep } from "node:timers/promises";
import { HEARTBEAT_MS, HEARTBEAT_TTL_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { type Redis, untilAccepted } from "./redis-connection.ts";
import type { Seal } from "./seal.ts";
import { appendToStream } from "./stream-reader.ts";
import { type CallAnswer, encodeWorkerMessage, type WorkerMessage } from "./worker-messages.ts";

/** One that is late by more than a heartbeat lasts is dead. */
const ANSWER_TRIES = 2 * (HEARTBEAT_TTL_MS / HEARTBEAT_MS);

export interface WorkerPostOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queueName: string;
  readonly seal: Seal;
  /** How long a Redis that refuses an answer is asked again. */
  readonly patienceMs: number;
}

/** What a runner says to workers. */
export class WorkerPost {
  readonly #options: WorkerPostOptions;
  #isClosed = false;

  constructor(options: WorkerPostOptions) {
    this.#options = options;
  }

  /** To whoever has the batch; to nobody, when nobody has. */
  async tellHolder(batchId: string, message: WorkerMessage): Promise<void> {
    const { redis, keys, queueName } = this.#options;
    const holder = await redis.get(keys.lease(queueName, batchId));
    if (holder !== null) await this.#tell(holder, message);
  }

  /** A call waits for it. The worker may be about to make its inbox anew; if it is dead, the call is lost with it. */
  async answer(workerId: string, answer: CallAnswer): Promise<void> {
    const { redis, patienceMs } = this.#options;
    const tell = () => this.#tell(workerId, { type: "answer", ...answer });
    for (let tries = 0; tries < ANSWER_TRIES && !this.#isClosed; tries++) {
      if (await untilAccepted(redis, tell, patienceMs)) return;
      await sleep(HEARTBEAT_MS);
    }
  }

  /** Tries no more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Resolves to false when the worker has no inbox. */
  #tell(workerId: string, message: WorkerMessage): Promise<boolean> {
    const { redis, keys, seal } = this.#options;
    const key = keys.inbox(workerId);
    return appendToStream(redis, key, seal.sign(encodeWorkerMessage(message), { kind: "to-worker", key }));
  }
}
