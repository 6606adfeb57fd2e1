import { failWaiting, type Redis } from "./redis-connection.ts";

/**
 * Ends the waiting for a Redis that stays away: commands that wait for the connection fail, those that come later wait anew.
 * The connection goes on trying, and is used as soon as it stands.
 */
export class AwayWatch {
  readonly #redis: Redis;
  readonly #patienceMs: number;
  readonly #onAway: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis, patienceMs: number, onAway: () => void) {
    this.#redis = redis;
    this.#patienceMs = patienceMs;
    this.#onAway = onAway;
    redis.on("close", this.#onClose);
    redis.on("ready", this.#onReady);
  }

  stop(): void {
    this.#redis.off("close", this.#onClose);
    this.#redis.off("ready", this.#onReady);
    clearTimeout(this.#timer);
  }

  readonly #onReady = () => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  };

  readonly #onClose = () => {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      failWaiting(this.#redis);
      this.#onAway(); // What is then told to Redis, such as that nobody waits, is to wait for it.
    }, this.#patienceMs);
  };
}
