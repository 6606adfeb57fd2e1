import { setTimeout as sleep } from "node:timers/promises";
import { HEARTBEAT_MS } from "../intervals.ts";
import { type CallAnswer, encodeWorkerMessage, type WorkerMessage } from "../wire/worker-messages.ts";
import type { Keys } from "./keys.ts";
import { type Redis, untilAccepted } from "./redis-connection.ts";
import type { Seal } from "./seal.ts";
import { appendToStream } from "./stream-reader.ts";
import { readText } from "./wrong-type.ts";

export interface WorkerPostOptions {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly queueName: string;
  readonly seal: Seal;
  /** Does anybody still wait for calls of the batch? */
  readonly isWanted: (batchId: string) => boolean;
}

/** What a runner says to workers. */
export class WorkerPost {
  readonly #options: WorkerPostOptions;

  constructor(options: WorkerPostOptions) {
    this.#options = options;
  }

  /** Asks whoever has the batch, once. */
  async handBack(batchId: string): Promise<void> {
    await this.#tellHolder(batchId, { type: "hand-back", batchId });
  }

  /** Told to whoever has the batch. A call that runs on for ever ends by nothing else. */
  async cancel(batchId: string, sequences: readonly number[]): Promise<void> {
    await this.#untilTold(batchId, () => this.#tellHolder(batchId, { type: "cancel", batchId, sequences }));
  }

  /** A call waits for it. */
  async answer(workerId: string, answer: CallAnswer): Promise<void> {
    await this.#untilTold(answer.batchId, () => this.#tell(workerId, { type: "answer", ...answer }));
  }

  /** Redis may be full, and the worker about to make its inbox anew; if it is dead, the batch will be found lost. */
  async #untilTold(batchId: string, tell: () => Promise<boolean>): Promise<void> {
    const { redis, isWanted } = this.#options;
    const tellIfWanted = async () => !isWanted(batchId) || (await tell());
    while (!(await untilAccepted(redis, tellIfWanted))) await sleep(HEARTBEAT_MS);
  }

  /** Resolves to false when the holder has no inbox; to true also when nobody has the batch. */
  async #tellHolder(batchId: string, message: WorkerMessage): Promise<boolean> {
    const { redis, keys, queueName } = this.#options;
    const holder = await readText(redis, keys.lease(queueName, batchId));
    return holder === null || (await this.#tell(holder, message));
  }

  /** Resolves to false when the worker has no inbox. */
  async #tell(workerId: string, message: WorkerMessage): Promise<boolean> {
    const { redis, keys, seal } = this.#options;
    const key = keys.inbox(workerId);
    const signed = seal.sign(encodeWorkerMessage(message), { kind: "to-worker", key });
    return (await appendToStream(redis, key, signed)) !== undefined;
  }
}
