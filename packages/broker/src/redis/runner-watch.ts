import { RUNNER_LEASE_RENEWAL_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

/** Knows, for a worker, which of the runners whose batches it has are alive. */
export class RunnerWatch {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #onDead: (runnerId: string) => void;
  /** Those that were alive when they were last looked at. True: a batch has come from it since. */
  readonly #alive = new Map<string, boolean>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param onDead a runner is gone of which batches came, or may be here still */
  constructor(redis: Redis, keys: Keys, onDead: (runnerId: string) => void) {
    this.#redis = redis;
    this.#keys = keys;
    this.#onDead = onDead;
  }

  /** Is the runner alive, of which a batch has come? At once when that is known; it is looked at again every 5 s. */
  isAlive(runnerId: string): true | Promise<boolean> {
    if (!this.#alive.has(runnerId)) return this.#look(runnerId);
    this.#alive.set(runnerId, true);
    return true;
  }

  /** @param isHere are there batches of the runner? Such a one is never forgotten. */
  watch(isHere: (runnerId: string) => boolean): void {
    this.#timer = setInterval(() => void this.#lookAtAll(isHere).catch(ignore), RUNNER_LEASE_RENEWAL_MS);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async #look(runnerId: string): Promise<boolean> {
    const isAlive = (await this.#redis.exists(this.#keys.runnerLease(runnerId))) === 1;
    if (isAlive) this.#alive.set(runnerId, true);
    return isAlive;
  }

  async #lookAtAll(isHere: (runnerId: string) => boolean): Promise<void> {
    for (const [runnerId, isUsed] of this.#alive) {
      if (isUsed || isHere(runnerId)) this.#alive.set(runnerId, false);
      else this.#alive.delete(runnerId);
    }
    const runners = [...this.#alive.keys()];
    if (runners.length === 0) return;
    // One by one: MGET says nothing of a key that is no text, and who made it one must not end a flow's calls.
    const asked = this.#redis.pipeline();
    for (const runnerId of runners) asked.exists(this.#keys.runnerLease(runnerId));
    const leases = (await asked.exec()) ?? [];
    for (const [index, runnerId] of runners.entries()) {
      const [error, isThere] = leases[index] ?? [];
      if (error !== null || isThere !== 0 || this.#isClosed) continue;
      this.#alive.delete(runnerId);
      this.#onDead(runnerId);
    }
  }
}

function ignore(): void {}
