import type { Redis } from "./redis-connection.ts";

/** The keys that fit the pattern, once each. @throws what Redis answers, such as to a user who may not list keys */
export async function scanKeys(redis: Redis, pattern: string): Promise<string[]> {
  const found = new Set<string>();
  for (let cursor = "0"; ; ) {
    const [next, keys] = await redis.scan(cursor, "MATCH", pattern, "COUNT", 1000);
    for (const key of keys) found.add(key);
    if (next === "0") return [...found];
    cursor = next;
  }
}

/** The text as a pattern that fits nothing else. */
export function literally(text: string): string {
  return text.replace(/[\\*?[\]]/g, "\\$&");
}

/** Keys per command: a command of a million would block Redis, and the stack. */
const DELETED_AT_ONCE = 1000;

/** Deletes the keys. @throws what Redis answers */
export async function unlinkAll(redis: Redis, keys: readonly string[]): Promise<void> {
  for (let first = 0; first < keys.length; first += DELETED_AT_ONCE)
    await redis.unlink(...keys.slice(first, first + DELETED_AT_ONCE));
}
