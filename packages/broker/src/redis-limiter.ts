import { randomUUID } from "node:crypto";
import { type Limit, LimitExceededError, type Limiter, type SlotRequest, type Slots } from "@millrace/core";
import { HOLD_RENEWAL_MS, HOLD_TTL_MS, LEAVE_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { ACQUIRE, RELEASE, RENEW } from "./limit-scripts.ts";
import { doneWithin, duplicateForBlocking, type Redis } from "./redis-connection.ts";
import { RedisLimits } from "./redis-limits.ts";

/** News may be missed, and leases of the dead run out without any: those first in line look again after this. */
const LOOK_AGAIN_MS = 1_000;

interface Waiter extends SlotRequest {
  readonly token: string;
  timer: NodeJS.Timeout | undefined;
  isTrying: boolean;
  /** News came during a try, perhaps too late for it. */
  isTryDue: boolean;
  isOver: boolean;
  readonly taken: () => void;
  readonly failed: (error: unknown) => void;
}

/** Limits that hold for everybody in a Redis namespace. The line is in Redis, so it is one for all processes. */
export class RedisLimiter implements Limiter {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #news: Redis;
  readonly #settings: RedisLimits;
  #limits: ReadonlyMap<string, Limit> = new Map();
  readonly #waiters = new Set<Waiter>();
  /** What this process holds: names by token. */
  readonly #held = new Map<string, readonly string[]>();
  readonly #renewal: NodeJS.Timeout;

  static async open(redis: Redis, keys: Keys): Promise<RedisLimiter> {
    const limiter = new RedisLimiter(redis, keys);
    limiter.#news.on("message", (_, text) => void limiter.#onNews(text));
    await limiter.#news.subscribe(keys.limitNews);
    await limiter.#load();
    return limiter;
  }

  private constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
    this.#news = duplicateForBlocking(redis);
    this.#settings = new RedisLimits(redis, keys);
    this.#renewal = setInterval(() => void this.#renew(), HOLD_RENEWAL_MS);
  }

  isLimited(name: string): boolean {
    return this.#limits.has(name);
  }

  acquire(request: SlotRequest): Promise<Slots> {
    const token = `${request.holder} ${randomUUID()}`;
    return new Promise((resolve, reject) => {
      const { signal } = request;
      signal?.throwIfAborted();
      const end = () => {
        signal?.removeEventListener("abort", onAbort);
        clearTimeout(waiter.timer);
        waiter.isOver = true;
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = {
        ...request,
        token,
        timer: undefined,
        isTrying: false,
        isTryDue: false,
        isOver: false,
        taken: () => {
          end();
          if (!request.isRate) this.#held.set(token, request.names);
          resolve({ release: () => void this.#release(token, request.names) });
        },
        failed: (error) => {
          end();
          reject(error);
        },
      };
      const onAbort = () => {
        void this.#release(token, request.names); // Out of the lines, and out of what was taken just now.
        waiter.failed(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort);
      this.#waiters.add(waiter);
      void this.#try(waiter);
    });
  }

  /** Gives back what this process holds, and leaves. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#renewal);
    for (const waiter of [...this.#waiters]) waiter.failed(new Error("The limiter was closed."));
    const releases = [...this.#held].map(([token, names]) => this.#release(token, names));
    await doneWithin(LEAVE_MS, Promise.all(releases));
    this.#news.disconnect();
  }

  async #try(waiter: Waiter): Promise<void> {
    waiter.isTryDue = waiter.isTrying;
    if (waiter.isTrying || waiter.isOver) return;
    waiter.isTrying = true;
    clearTimeout(waiter.timer);
    const { token, slots, isRate, names } = waiter;
    const { limits, limitState } = this.#keys;
    const fixed = [token, slots, isRate ? "1" : "0", HOLD_TTL_MS] as const;
    let lookAgainMs = LOOK_AGAIN_MS;
    try {
      const said = await this.#redis.eval(ACQUIRE, 2, limits, limitState, ...fixed, ...names);
      if (waiter.isOver) return await this.#release(token, names); // Aborted meanwhile.
      if (said === 1) waiter.taken();
      else if (typeof said === "string")
        waiter.failed(new LimitExceededError(said, slots, this.#limits.get(said)?.slots ?? 0));
      else if (Number(said) < 0) lookAgainMs = Math.min(-Number(said), LOOK_AGAIN_MS);
    } catch {
      // Redis is away, or came back empty: try again.
    } finally {
      waiter.isTrying = false;
    }
    if (waiter.isTryDue) void this.#try(waiter);
    else if (!waiter.isOver) waiter.timer = setTimeout(() => void this.#try(waiter), lookAgainMs);
  }

  async #release(token: string, names: readonly string[]): Promise<void> {
    this.#held.delete(token);
    const { limits, limitState, limitNews } = this.#keys;
    // Redis is away: the lease runs out.
    await this.#redis.eval(RELEASE, 2, limits, limitState, token, limitNews, ...names).catch(() => {});
  }

  async #onNews(text: string): Promise<void> {
    if (text === "limits") await this.#load().catch(() => {});
    // In the order in which they came: of those that share a name only the first can be served.
    const seen = new Set<string>();
    for (const waiter of this.#waiters) {
      if (!waiter.names.some((name) => seen.has(name))) void this.#try(waiter);
      for (const name of waiter.names) seen.add(name);
    }
  }

  async #load(): Promise<void> {
    this.#limits = await this.#settings.all();
  }

  async #renew(): Promise<void> {
    void this.#load().catch(() => {}); // News of a change may have been missed.
    const leases = [...this.#held].flatMap(([token, names]) => names.flatMap((name) => [token, name]));
    for (const { token } of this.#waiters) leases.push(token, "");
    if (leases.length === 0) return;
    const { limits, limitState } = this.#keys;
    await this.#redis.eval(RENEW, 2, limits, limitState, HOLD_TTL_MS, ...leases).catch(() => {});
  }
}
