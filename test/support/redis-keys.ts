import { Redis } from "ioredis";
import { inject } from "vitest";

/** The keys of a namespace in the Redis of the tests, without its prefix. */
export async function keysOfNamespace(namespace: string): Promise<string[]> {
  return withRedis(async (redis) => {
    const keys: string[] = [];
    for await (const batch of redis.scanStream({ match: `{millrace:${namespace}}*` })) keys.push(...batch);
    return [...new Set(keys)].map((key) => key.replace(`{millrace:${namespace}}:`, "")).sort();
  });
}

/** Takes away what a standing queue keeps when nobody uses it: its constants, which are there for the next user. */
export async function forgetNamespace(namespace: string): Promise<void> {
  const keys = await keysOfNamespace(namespace);
  if (keys.length === 0) return;
  await withRedis((redis) => redis.unlink(keys.map((key) => `{millrace:${namespace}}:${key}`)));
}

async function withRedis<R>(body: (redis: Redis) => Promise<R>): Promise<R> {
  const redis = new Redis(inject("redisUrl"));
  try {
    return await body(redis);
  } finally {
    redis.disconnect();
  }
}
