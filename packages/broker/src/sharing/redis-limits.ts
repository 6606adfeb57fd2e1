import { InvalidOptionError, isLimit, type Limit } from "@millrace/core";
import type { Keys } from "../redis/keys.ts";
import type { Redis } from "../redis/redis-connection.ts";
import { namingWrongType } from "../redis/wrong-type.ts";
import { INSPECT, limitTypes } from "./limit-scripts.ts";

/** A limit, and who uses it at the moment. */
export interface LimitUse extends Limit {
  readonly name: string;
  /** Slots in use: those that are held, and those of rates that have not come back. */
  readonly held: number;
  readonly waiting: number;
}

/** The limits that are set for a namespace: what `millrace limit` changes, and limiters follow. */
export class RedisLimits {
  readonly #redis: Redis;
  readonly #keys: Keys;

  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** Sets a limit; raising one takes effect at once, lowering one takes nothing from anybody. @throws InvalidOptionError, RedisUnsuitableError */
  async set(name: string, limit: Limit): Promise<void> {
    if (!isLimit(limit))
      throw new InvalidOptionError(`limit "${name}"`, "a whole number of slots, and a decay above 0", limit);
    await this.#asked(this.#redis.hset(this.#keys.limits, name, JSON.stringify(limit)));
    await this.#tellNews();
  }

  /** @returns false when there was none */
  async remove(name: string): Promise<boolean> {
    const removed = await this.#asked(this.#redis.hdel(this.#keys.limits, name));
    await this.#tellNews();
    return removed === 1;
  }

  /** Those that are set, by name. What somebody else wrote and is no limit is left out. */
  async all(): Promise<Map<string, Limit>> {
    const entries = Object.entries(await this.#asked(this.#redis.hgetall(this.#keys.limits)));
    return new Map(entries.flatMap(([name, text]) => parseLimit(name, text)));
  }

  async inspect(): Promise<LimitUse[]> {
    const limits = [...(await this.all())].sort(([a], [b]) => (a < b ? -1 : 1));
    const { limits: hash, limitState, limitNews } = this.#keys;
    const names = limits.map(([name]) => name);
    const asked = this.#redis.eval(INSPECT, 3, hash, limitState, limitNews, ...names);
    const uses = (await this.#asked(asked, names)) as number[];
    return limits.map(([name, limit], index) => ({
      ...limit,
      name,
      held: uses[2 * index] ?? 0,
      waiting: uses[2 * index + 1] ?? 0,
    }));
  }

  #asked<T>(asked: Promise<T>, names: readonly string[] = []): Promise<T> {
    return namingWrongType(this.#redis, limitTypes(this.#keys, names), asked);
  }

  async #tellNews(): Promise<void> {
    await this.#redis.publish(this.#keys.limitNews, "limits");
  }
}

function parseLimit(name: string, text: string): [string, Limit][] {
  try {
    const limit: unknown = JSON.parse(text);
    return typeof limit === "object" && isLimit(limit) ? [[name, limit]] : [];
  } catch {
    return [];
  }
}

/** What news of limits say: the names whose slots or lines have changed. Undefined: the limits themselves, or all of it. */
export function changedNames(text: string): string[] | undefined {
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) ? names.map(String) : undefined;
  } catch {
    return undefined;
  }
}
