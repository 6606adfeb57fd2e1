import { setTimeout as sleep } from "node:timers/promises";
import { BrokerUnavailableError, InvalidOptionError, RedisUnsuitableError } from "@millrace/core";
import { Redis, type RedisOptions } from "ioredis";

export type { Redis };

/** How long the first connection may take before the URL counts as one that does not answer. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Reconnecting waits twice as long each time, to at most this. BullMQ's own strategy waits up to 20 s. */
const LONGEST_RETRY_MS = 2_000;

/**
 * Connects to `redis://`, `rediss://` or `unix:///path/to.sock`. Once connected, a connection comes back by itself and commands wait
 * for it; a server that does not answer the first time is an error.
 *
 * @throws InvalidOptionError, BrokerUnavailableError
 */
export async function connectRedis(url: string): Promise<Redis> {
  const redis = new Redis(redisOptions(url));
  let isUp = false;
  let lastError: Error | undefined;
  redis.on("error", (error: Error) => {
    lastError = error; // ioredis reports every failed try; the retry strategy goes on.
  });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const late = () => reject(lastError ?? new Error(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`));
    timer = setTimeout(late, CONNECT_TIMEOUT_MS);
  });
  redis.options.retryStrategy = (times) => (isUp ? Math.min(50 * 2 ** times, LONGEST_RETRY_MS) : null);
  try {
    await Promise.race([redis.connect(), timeout]);
    isUp = true;
    return redis;
  } catch (error) {
    redis.disconnect();
    const cause = lastError ?? (error as Error);
    throw new BrokerUnavailableError(withoutPassword(url), cause.message, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Was it done within the time? A Redis that is away must not keep anyone from leaving. Never rejects. */
export async function doneWithin(milliseconds: number, asked: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const done = asked.then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a Redis refuses that is full, it may accept soon. */
const REFUSED_RETRY_MS = 200;

/**
 * Asks again while Redis refuses, as it does when its memory is full or while it loads its data.
 *
 * @throws the refusal, once the connection is closed for good or the patience has ended
 */
export async function untilAccepted<T>(
  redis: Redis,
  ask: () => Promise<T>,
  patienceMs = Number.POSITIVE_INFINITY,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (redis.status === "end" || performance.now() > deadline) throw error;
      await sleep(REFUSED_RETRY_MS);
    }
  }
}

/** Another connection to the same server. What it was asked while the server was away, it asks again. */
export function duplicate(redis: Redis): Redis {
  const copy = redis.duplicate({ lazyConnect: false });
  copy.on("error", () => {});
  return copy;
}

/** A connection of its own for commands that block, to the same server. When it is cut, they fail. */
export function duplicateForBlocking(redis: Redis): Redis {
  // A blocking read that is sent again after a reconnect would wait on a cursor that the caller has moved past. With
  // `maxRetriesPerRequest: null` ioredis then forgets it: it would never end, neither well nor badly.
  const once = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };
  const copy = redis.duplicate({ ...once, lazyConnect: false });
  copy.on("error", () => {});
  return copy;
}

/** BullMQ needs the reply shapes of RESP2, which ioredis gives under RESP3 as well. */
type LegacyOptions = RedisOptions & { replyMapping: "legacy" };

function redisOptions(url: string): LegacyOptions {
  const common: LegacyOptions = { maxRetriesPerRequest: null, lazyConnect: true, replyMapping: "legacy" };
  if (url.startsWith("unix:///")) return { ...common, path: url.slice("unix://".length) };
  let parsed: URL;
  let username: string;
  let password: string;
  try {
    parsed = new URL(url);
    username = decodeURIComponent(parsed.username);
    password = decodeURIComponent(parsed.password);
  } catch {
    return refuse(url);
  }
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") return refuse(url);
  const db = /^\/?(\d*)$/.exec(parsed.pathname)?.[1];
  if (db === undefined) return refuse(url);
  return {
    ...common,
    host: parsed.hostname.replace(/^\[|\]$/g, "") || "127.0.0.1",
    port: parsed.port === "" ? 6379 : Number(parsed.port),
    db: Number(db),
    ...(username !== "" && { username }),
    ...(password !== "" && { password }),
    ...(parsed.protocol === "rediss:" && { tls: {} }),
  };
}

function refuse(url: string): never {
  throw new InvalidOptionError("the Redis URL", "redis://…, rediss://… or unix:///…", withoutPassword(url));
}

/** The URL as it may be shown and logged. A password that was not escaped may hold `@` and `/`: all before the last `@` goes. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/(.*)@/s, (_, user: string) => `//${user.split(":")[0]}:***@`);
}

const LEAST_VERSION = [6, 2] as const;

/**
 * Refuses a server that Millrace cannot rely on.
 *
 * @throws RedisUnsuitableError when it is older than 6.2, or may evict keys when its memory is full
 */
export async function checkRedis(redis: Redis): Promise<void> {
  const problem = unsuitable(await redis.info());
  if (problem !== undefined) throw new RedisUnsuitableError(problem);
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
