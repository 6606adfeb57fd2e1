import type { Redis } from "./redis-connection.ts";

/** Since when a Redis is away, as far as its connection shows. */
export class RedisOutage {
  /** Milliseconds since the epoch; undefined while the connection stands. */
  since: number | undefined;
  readonly #redis: Redis;
  readonly #onClose = () => {
    this.since ??= Date.now();
  };
  readonly #onReady = () => {
    this.since = undefined;
  };

  constructor(redis: Redis) {
    this.#redis = redis;
    redis.on("close", this.#onClose);
    redis.on("ready", this.#onReady);
  }

  stop(): void {
    this.#redis.off("close", this.#onClose);
    this.#redis.off("ready", this.#onReady);
  }
}
