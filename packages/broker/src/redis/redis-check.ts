import { RedisUnsuitableError } from "@millrace/core";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

const LEAST_VERSION = [6, 2] as const;

/**
 * Refuses a server that Millrace cannot rely on.
 *
 * @throws RedisUnsuitableError when it is older than 6.2, may evict keys when its memory is full, or does not let this user
 * ask for that, run scripts over the namespace's keys, and use its channels
 */
export async function checkRedis(
  redis: Redis,
  { limits, limitNews }: Pick<Keys, "limits" | "limitNews">,
): Promise<void> {
  const problem = unsuitable(await allowed("INFO", redis.info()));
  if (problem !== undefined) throw new RedisUnsuitableError(problem);
  // BullMQ and the limits are scripts, over keys of the namespace.
  await allowed("EVAL", redis.eval(`return redis.call("EXISTS", KEYS[1])`, 1, limits), ` on ${limits}`);
  // Workers tell of themselves on channels. That no limit has changed is no news to anybody.
  await allowed("PUBLISH", redis.publish(limitNews, "[]"), ` on ${limitNews}`);
}

async function allowed<T>(command: string, asked: Promise<T>, where = ""): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw new RedisUnsuitableError(
      `Expected a Redis that lets this user run ${command}${where}, got ${(error as Error).message}. Give the user the commands, keys ` +
        `and channels that docs/security.md lists, or name another Redis in MILLRACE_REDIS_URL.`,
    );
  }
}

/** What is wrong with the server that gives this INFO; undefined when nothing is. */
export function unsuitable(info: string): string | undefined {
  const version = /^redis_version:(.+?)\r?$/m.exec(info)?.[1] ?? "unknown";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  // A version that is not a number is not new enough either.
  if (!(major > LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor >= LEAST_VERSION[1]))) {
    return `Expected Redis ${LEAST_VERSION.join(".")} or newer, got ${version}. Update the server, or name another in MILLRACE_REDIS_URL.`;
  }
  const policy = /^maxmemory_policy:(.+?)\r?$/m.exec(info)?.[1] ?? "noeviction";
  if (policy !== "noeviction") {
    return (
      `Expected a Redis server with maxmemory-policy noeviction, got ${policy}, under which it may drop the queue's ` +
      `keys. Set maxmemory-policy to noeviction in its configuration.`
    );
  }
  return undefined;
}
