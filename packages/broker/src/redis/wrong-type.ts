import { RedisUnsuitableError } from "@millrace/core";
import type { Redis } from "./redis-connection.ts";

/** What is to be under each of these keys. */
export type KeyTypes = Readonly<Record<string, "string" | "list" | "set" | "zset" | "hash" | "stream">>;

/**
 * Did Redis refuse a command since its key holds something else than the command is for? Asked again, it refuses again: somebody
 * else wrote there, and only who knows whose the key is can say what becomes of it. Of a script, Redis 6 puts it into its own words.
 */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && /\bWRONGTYPE\b/.test(error.message);
}

/** The error that names the first of these keys that holds something else; undefined when none does. Never rejects. */
export async function findWrongType(
  redis: Redis,
  types: KeyTypes,
): Promise<RedisUnsuitableError | undefined> {
  const asked = redis.pipeline();
  for (const key of Object.keys(types)) asked.type(key);
  const replies = (await asked.exec().catch(() => undefined)) ?? [];
  for (const [index, [key, expected]] of Object.entries(types).entries()) {
    const [error, type] = replies[index] ?? [];
    if (error === null && type !== "none" && type !== expected)
      return new RedisUnsuitableError(
        `Expected a ${expected} at ${key}, got a ${type}, which something else than Millrace has put there. Delete that key, and find out ` +
          `who else writes to this Redis; or name another namespace or queue.`,
      );
  }
  return undefined;
}

/** @throws what the asked one throws; RedisUnsuitableError with the name of the key when one of these holds something else */
export async function namingWrongType<T>(redis: Redis, types: KeyTypes, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw (isWrongType(error) ? await findWrongType(redis, types) : undefined) ?? error;
  }
}

/** The text under a key; null also when what is there is none, on which GET would fail. */
export async function readText(redis: Redis, key: string): Promise<string | null> {
  return (await redis.mget(key))[0] ?? null;
}

/** The same, as bytes. */
export async function readBytes(redis: Redis, key: string): Promise<Buffer | null> {
  return (await redis.mgetBuffer(key))[0] ?? null;
}
