import { randomUUID } from "node:crypto";
import {
  CancelledRunError,
  type Limit,
  LimitExceededError,
  type Limiter,
  type SlotRequest,
  type Slots,
} from "@millrace/core";
import { rateWithoutDecay, watchAbort } from "@millrace/core/internal";
import { HOLD_RENEWAL_MS, HOLD_TTL_MS, LEAVE_MS, STREAM_TTL_MS } from "../intervals.ts";
import type { Keys } from "../redis/keys.ts";
import { doneWithin, type Redis, subscribe } from "../redis/redis-connection.ts";
import type { RunnerGroup } from "../redis/runner-group.ts";
import { findWrongType, isWrongType } from "../redis/wrong-type.ts";
import { ACQUIRE, type Acquired, limitTypes, RELEASE, RENEW, type Renewal } from "./limit-scripts.ts";
import { Lines } from "./lines.ts";
import { changedNames, RedisLimits } from "./redis-limits.ts";

/**
 * News may be missed, and leases of the dead run out without any: those in front look again after this. A tenth of HOLD_TTL_MS, so
 * that slots of the dead are free for hardly longer than they were held.
 */
const LOOK_AGAIN_MS = 1_000;

interface Waiter {
  readonly token: string;
  readonly request: SlotRequest;
  /** Those with a limit, each once. */
  readonly names: readonly string[];
  leaveLines: () => void;
  timer: NodeJS.Timeout | undefined;
  isTrying: boolean;
  /** News came during a try, perhaps too late for it. */
  isTryDue: boolean;
  readonly taken: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Limits that hold for everybody in a Redis namespace. The line is in Redis, so it is one for all processes. Everybody
 * joins it at once; from then on only those ask again that are in front of all others of this process.
 */
export class RedisLimiter implements Limiter {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #group: RunnerGroup;
  readonly #settings: RedisLimits;
  #limits: ReadonlyMap<string, Limit> = new Map();
  /** Who waits in this process, by token, and by name in the order of asking. */
  readonly #waiters = new Map<string, Waiter>();
  readonly #lines = new Lines<Waiter>();
  /** What this process holds, by token. */
  readonly #held = new Map<string, Waiter>();
  readonly #renewal: NodeJS.Timeout;
  #unsubscribe: (() => void) | undefined;
  #isRenewing = false;
  #isClosed = false;

  static async open(redis: Redis, keys: Keys, group: RunnerGroup): Promise<RedisLimiter> {
    const limiter = new RedisLimiter(redis, keys, group);
    try {
      limiter.#unsubscribe = await subscribe(redis, keys.limitNews, (text) => void limiter.#onNews(text));
      await limiter.#load();
      group.add(limiter);
      return limiter;
    } catch (error) {
      await limiter.close(); // Its connection and its timer go.
      throw error;
    }
  }

  private constructor(redis: Redis, keys: Keys, group: RunnerGroup) {
    this.#redis = redis;
    this.#keys = keys;
    this.#group = group;
    this.#settings = new RedisLimits(redis, keys);
    this.#renewal = setInterval(() => void this.#renew(), HOLD_RENEWAL_MS);
  }

  isLimited(name: string): boolean {
    return this.#limits.has(name);
  }

  async acquire(request: SlotRequest): Promise<Slots> {
    const { signal, isRate } = request;
    signal?.throwIfAborted();
    const names = [...new Set(request.names)].filter((name) => this.isLimited(name));
    if (names.length === 0) return NOTHING_TO_RELEASE;
    if (this.#isClosed) throw closedError(names);
    return new Promise((resolve, reject) => {
      const unwatch = watchAbort(signal, () => waiter.failed(signal?.reason));
      const waiter: Waiter = {
        token: `${request.holder} ${randomUUID()}`,
        request,
        names,
        leaveLines: ignore,
        timer: undefined,
        isTrying: false,
        isTryDue: false,
        taken: () => {
          unwatch();
          if (!isRate) this.#held.set(waiter.token, waiter);
          resolve(isRate ? NOTHING_TO_RELEASE : { release: () => this.#giveBack(waiter) });
          this.#leave(waiter);
        },
        failed: (error) => {
          unwatch();
          reject(error);
          void this.#release(waiter); // Out of the lines, and out of what was taken just now.
          this.#leave(waiter);
        },
      };
      this.#waiters.set(waiter.token, waiter);
      waiter.leaveLines = this.#lines.join(waiter);
      void this.#try(waiter);
    });
  }

  /** Redis has been away for too long: who waits fails. What is held stays held, and is counted again when Redis is back. */
  giveUp(error: Error): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.failed(error);
  }

  /** Gives back what this process holds, and leaves: who waits is refused. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#group.remove(this);
    clearInterval(this.#renewal);
    const leaving = [...this.#waiters.values(), ...this.#held.values()];
    for (const waiter of this.#waiters.values()) waiter.failed(closedError(waiter.names));
    this.#held.clear();
    await doneWithin(LEAVE_MS, Promise.all(leaving.map((waiter) => this.#release(waiter))));
    this.#unsubscribe?.();
  }

  // ---- Those who wait --------------------------------------------------------------------------------------------

  async #try(waiter: Waiter): Promise<void> {
    waiter.isTryDue = waiter.isTrying;
    if (waiter.isTrying) return;
    waiter.isTrying = true;
    clearTimeout(waiter.timer);
    let lookAgainMs: number | undefined = LOOK_AGAIN_MS; // Also when Redis is away, or came back empty.
    try {
      const said = await this.#ask(waiter);
      if (!this.#waiters.has(waiter.token)) return; // It gave up meanwhile, and has told Redis so.
      if (said[0] === "taken") return waiter.taken();
      if (said[0] === "exceeded") {
        return waiter.failed(new LimitExceededError(said[1], waiter.request.slots, said[2]));
      }
      if (said[0] === "no-decay") return waiter.failed(rateWithoutDecay(said[1]));
      if (said[0] === "decay") lookAgainMs = Math.min(said[1], LOOK_AGAIN_MS);
      else if (!this.#lines.isInFront(waiter)) lookAgainMs = undefined;
      else {
        // Redis has lost its data, and places in its line with it: one of this process that stood behind is first.
        const first = this.#waiters.get(said[1]);
        if (first !== undefined && first !== waiter) void this.#try(first);
      }
    } catch (error) {
      // Redis refuses, as it does while it loads its data. What is there in place of the limit's state does not go by itself.
      const broken = isWrongType(error) ? await this.#findBroken(waiter) : undefined;
      if (broken !== undefined && this.#waiters.has(waiter.token)) return waiter.failed(broken);
    } finally {
      waiter.isTrying = false;
    }
    if (!this.#waiters.has(waiter.token)) return;
    if (waiter.isTryDue) void this.#try(waiter);
    else if (lookAgainMs !== undefined) waiter.timer = setTimeout(() => void this.#try(waiter), lookAgainMs);
  }

  async #ask({ token, request, names }: Waiter): Promise<Acquired> {
    const { slots, isRate } = request;
    const times = [HOLD_TTL_MS, STREAM_TTL_MS] as const;
    return (await this.#run(ACQUIRE, token, slots, isRate ? "1" : "0", ...times, ...names)) as Acquired;
  }

  #findBroken({ names }: Waiter): Promise<Error | undefined> {
    return findWrongType(this.#redis, limitTypes(this.#keys, names));
  }

  #tryFirst(name: string): void {
    const first = this.#lines.first(name);
    if (first === undefined) return;
    // One signal may take out many, and so does giving up: none of them is tried in between.
    if (first.request.signal?.aborted || !this.#waiters.has(first.token)) return;
    if (this.#lines.isInFront(first)) void this.#try(first);
  }

  /** Makes way for those behind. */
  #leave(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    this.#waiters.delete(waiter.token);
    waiter.leaveLines();
    if (!this.#isClosed) for (const name of waiter.names) this.#tryFirst(name);
  }

  async #onNews(text: string): Promise<void> {
    const names = changedNames(text);
    if (names === undefined) await this.#load().catch(ignore);
    for (const name of names ?? this.#lines.names) this.#tryFirst(name);
  }

  // ---- What is held ----------------------------------------------------------------------------------------------

  #giveBack(waiter: Waiter): void {
    if (this.#held.delete(waiter.token)) void this.#release(waiter);
  }

  /** Never rejects: where Redis is away, the lease runs out. */
  async #release({ token, names }: Waiter): Promise<void> {
    await this.#run(RELEASE, token, ...names).catch(ignore);
  }

  async #load(): Promise<void> {
    this.#limits = await this.#settings.all();
  }

  async #renew(): Promise<void> {
    if (this.#isRenewing) return; // Redis is away: what waits to be sent must not pile up.
    this.#isRenewing = true;
    const users = [...this.#held.values(), ...this.#waiters.values()];
    const renewal: Renewal = {
      held: [...this.#held].flatMap(([token, { request, names }]) =>
        names.map((name) => [token, request.slots, name] as const),
      ),
      waiting: [...this.#waiters.keys()],
      names: [...new Set(users.flatMap(({ names }) => names))],
    };
    const renewed =
      users.length > 0 ? this.#run(RENEW, HOLD_TTL_MS, STREAM_TTL_MS, JSON.stringify(renewal)) : undefined;
    // News of a change may have been missed.
    await Promise.allSettled([renewed, this.#load()]);
    this.#isRenewing = false;
  }

  #run(script: string, ...args: (string | number)[]): Promise<unknown> {
    const { limits, limitState, limitNews } = this.#keys;
    return this.#redis.eval(script, 3, limits, limitState, limitNews, ...args);
  }
}

const NOTHING_TO_RELEASE: Slots = { release: () => {} };

function closedError(names: readonly string[]): CancelledRunError {
  const list = names.map((name) => `"${name}"`).join(", ");
  return new CancelledRunError(`Expected slots of ${list}, but the flow run that waited for them has ended.`);
}

function ignore(): void {}
