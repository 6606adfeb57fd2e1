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

/** The same without what BullMQ keeps of the default queue for as long as the namespace is used. */
export async function keysBesideQueue(namespace: string): Promise<string[]> {
  return (await keysOfNamespace(namespace)).filter((key) => !/^default:(meta|id|events|marker)$/.test(key));
}

/** How many batches were ever sent to the default queue of a namespace: BullMQ counts its jobs. */
export async function batchesSent(namespace: string): Promise<number> {
  return Number(await withRedis((redis) => redis.get(`{millrace:${namespace}}:default:id`)));
}

/** Takes away what a standing queue keeps when nobody uses it: its constants, which are there for the next user. */
export async function forgetNamespace(namespace: string): Promise<void> {
  const keys = await keysOfNamespace(namespace);
  if (keys.length === 0) return;
  await withRedis((redis) => redis.unlink(keys.map((key) => `{millrace:${namespace}}:${key}`)));
}

/** A database of the Redis of the tests for one file alone, so that every key in it is that file's. */
export function redisDatabase(number: number): string {
  const url = new URL(inject("redisUrl"));
  url.pathname = `/${number}`;
  return url.href;
}

/** All keys of a database. */
export function allKeys(redisUrl: string): Promise<string[]> {
  return withRedis((redis) => redis.keys("*"), redisUrl);
}

async function withRedis<R>(body: (redis: Redis) => Promise<R>, url = inject("redisUrl")): Promise<R> {
  const redis = new Redis(url);
  try {
    return await body(redis);
  } finally {
    redis.disconnect();
  }
}
