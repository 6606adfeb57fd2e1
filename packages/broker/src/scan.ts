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
