import { DEATH_NOTE_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";
import type { Seal } from "./seal.ts";
import { readBytes } from "./wrong-type.ts";

/** Ten times what such a sentence takes; a longer note is somebody's who wants it to be read for long. */
const MOST_BYTES = 1_000;

/**
 * Why workers died, as sentences: who saw one's process end leaves a note in Redis, for the runners whose batches the worker had.
 * It stays for long enough that each of them has looked.
 */
export class DeathNotes {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #seal: Seal;

  constructor(redis: Redis, keys: Keys, seal: Seal) {
    this.#redis = redis;
    this.#keys = keys;
    this.#seal = seal;
  }

  async leave(workerId: string, reason: string): Promise<void> {
    const key = this.#keys.death(workerId);
    const note = this.#seal.sign(Buffer.from(reason), { kind: "death", key });
    await this.#redis.set(key, Buffer.from(note), "PX", DEATH_NOTE_MS);
  }

  /** Each of these workers, with the reason of its death where one is known. */
  async of(workerIds: Iterable<string>): Promise<Map<string, string | undefined>> {
    const reasons = [...workerIds].map(async (id) => [id, await this.#reasonOf(id)] as const);
    return new Map(await Promise.all(reasons));
  }

  async #reasonOf(workerId: string): Promise<string | undefined> {
    const key = this.#keys.death(workerId);
    const note = await readBytes(this.#redis, key);
    if (note === null || note.length > MOST_BYTES) return undefined;
    try {
      return Buffer.from(this.#seal.verify(note, { kind: "death", key })).toString();
    } catch {
      return undefined; // Somebody else's, who has another secret, or none.
    }
  }
}
