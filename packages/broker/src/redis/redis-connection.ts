import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectionOptions } from "node:tls";
import { BrokerUnavailableError, InvalidOptionError, readSettings } from "@millrace/core";
import { Redis, type RedisOptions } from "ioredis";
import { parseRedisUrl, withoutPassword } from "./redis-url.ts";

export type { Redis };

/** How long the first connection may take before the URL counts as one that does not answer. */
const CONNECT_TIMEOUT_MS = 5_000;

/** How often a first connection is made that is cut at once. */
const CONNECT_TRIES = 3;

/**
 * A connection on which nothing comes for so long although something was asked counts as cut: a wire that is pulled closes none,
 * and TCP gives up after 15 minutes. Blocking reads ask anew every 5 s.
 */
const SILENCE_MS = 10_000;

/** A value of 256 MB takes 20 s on a wire of 100 Mbit/s. */
const SILENCE_OF_LARGE_MS = 60_000;

/** Reconnecting waits twice as long each time, to at most this. BullMQ's own strategy waits up to 20 s. */
const LONGEST_RETRY_MS = 2_000;

/** A Redis that loads its data is asked again after this. ioredis goes by its estimate, which right after its start is a guess, up to 10 s. */
const LOADING_RETRY_MS = 200;

/**
 * Connects to a Redis: see parseRedisUrl for its URL. Once connected, a connection comes back by itself, with Sentinels to whichever
 * server is the master then, and commands wait for it; a server that does not answer the first time is an error.
 *
 * @throws InvalidOptionError, BrokerUnavailableError
 */
export async function connectRedis(url: string): Promise<Redis> {
  const redis = new Redis(redisOptions(url));
  let isUp = false;
  let hasGivenUp = false;
  let lastError: Error | undefined;
  redis.on("error", (error: Error) => {
    lastError = error; // ioredis reports every failed try; the retry strategy goes on.
  });
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const late = () => reject(lastError ?? new Error(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`));
    timer = setTimeout(late, CONNECT_TIMEOUT_MS);
  });
  const retryMs = (times: number) => (isUp ? Math.min(50 * 2 ** times, LONGEST_RETRY_MS) : null);
  redis.options.retryStrategy = retryMs;
  redis.options.sentinelRetryStrategy = retryMs;
  try {
    const mayRetry = (error: Error) => !hasGivenUp && wasCut(lastError ?? error);
    await Promise.race([connectUnlessCut(redis, mayRetry), timeout]);
    isUp = true;
    return redis;
  } catch (error) {
    hasGivenUp = true;
    redis.disconnect();
    const cause = withoutCommand(lastError ?? (error as Error));
    const advice = /certificate/i.test(cause.message) ? " (name its authority in MILLRACE_REDIS_CA)" : "";
    throw new BrokerUnavailableError(withoutPassword(url), `${cause.message}${advice}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** A connection that is cut while it is made says nothing about the server, as one that is refused does: it is made again. */
async function connectUnlessCut(redis: Redis, mayRetry: (error: Error) => boolean): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await redis.connect();
    } catch (error) {
      if (tries === CONNECT_TRIES || !mayRetry(error as Error)) throw error;
    }
  }
}

function wasCut({ code, message }: NodeJS.ErrnoException): boolean {
  return code === "EPIPE" || code === "ECONNRESET" || message === "Connection is closed.";
}

/** ioredis puts the command that failed into its error: of HELLO and AUTH, that is the password. */
function withoutCommand(error: Error): Error {
  if ("command" in error) delete error.command;
  return error;
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

/** A command waited for a Redis that stayed away: see failWaiting. */
export class StayedAwayError extends Error {}

/** What ioredis keeps until a connection stands: what it was asked meanwhile, and what was under way when the last one was cut. */
interface WaitingCommands {
  readonly offlineQueue: CommandQueue;
  readonly prevCommandQueue: CommandQueue | null | undefined;
}

interface CommandQueue {
  readonly length: number;
  shift(): QueuedCommand | undefined;
  push(item: QueuedCommand): void;
}

interface QueuedCommand {
  readonly command: { readonly args: readonly unknown[]; reject(error: Error): void };
}

/**
 * Ends the commands that wait for the connection, which goes on trying. ioredis itself ends them only with the connection, and one that
 * was ended so between two tries gives up at the next: every command then fails at once, also when Redis is there.
 */
export function failWaiting(redis: Redis): void {
  const { offlineQueue, prevCommandQueue } = redis as unknown as WaitingCommands;
  for (const queue of [prevCommandQueue, offlineQueue])
    for (let item = queue?.shift(); item !== undefined; item = queue?.shift())
      item.command.reject(new StayedAwayError("Redis stayed away."));
}

/** The connection was cut before a command was answered: whether Redis has executed it is not known. See endUnanswered. */
export class CutError extends Error {}

/**
 * Each time the connection is cut, ends those of these commands that had been sent and were not answered. ioredis itself sends all
 * of them again. Gives what ends the watch.
 */
export function endUnanswered(redis: Redis, isOne: (args: readonly unknown[]) => boolean): () => void {
  const onClose = () => {
    const { prevCommandQueue: queue } = redis as unknown as WaitingCommands;
    for (let count = queue?.length ?? 0; count > 0; count--) {
      const item = queue?.shift() as QueuedCommand;
      if (isOne(item.command.args)) item.command.reject(new CutError("The connection was cut."));
      else queue?.push(item);
    }
  };
  redis.on("close", onClose);
  return () => void redis.off("close", onClose);
}

/**
 * Asks again while Redis refuses, as it does when its memory is full or while it loads its data. So it does too of a key in whose place
 * somebody has put something else, until whoever the key belongs to has mended that or given up: a reader its stream, a runner its
 * values and its batches (BatchWatch). Who has a patience does not ask
 * a Redis again that stayed away: what was asked is given up by then.
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
      const isGivenUp = error instanceof StayedAwayError && patienceMs !== Number.POSITIVE_INFINITY;
      if (isGivenUp || redis.status === "end" || performance.now() > deadline) throw error;
      await sleep(REFUSED_RETRY_MS);
    }
  }
}

/** Another connection to the same server, for what may be large. What it was asked while the server was away, it asks again. */
export function duplicate(redis: Redis): Redis {
  const copy = redis.duplicate({ socketTimeout: SILENCE_OF_LARGE_MS, lazyConnect: false });
  copy.on("error", () => {});
  return copy;
}

/**
 * Hears what is published on a channel, on a connection of its own, also after that was lost and made again; what was published
 * meanwhile it has missed. Gives what ends it.
 *
 * @throws what Redis answers
 */
export async function subscribe(
  redis: Redis,
  channel: string,
  onMessage: (text: string) => void,
): Promise<() => void> {
  // ioredis looks after none of its own subscriptions: one that is closed before it is answered would end the process.
  const subscriber = redis.duplicate({ lazyConnect: false, autoResubscribe: false });
  subscriber.on("error", () => {});
  subscriber.on("message", (_, text) => onMessage(text));
  try {
    await subscriber.subscribe(channel);
  } catch (error) {
    subscriber.disconnect();
    throw error;
  }
  subscriber.on("ready", () => void subscriber.subscribe(channel).catch(() => {}));
  return () => subscriber.disconnect();
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
  const common: LegacyOptions = {
    maxRetriesPerRequest: null,
    lazyConnect: true,
    replyMapping: "legacy",
    socketTimeout: SILENCE_MS,
    maxLoadingRetryTime: LOADING_RETRY_MS,
  };
  const address = parseRedisUrl(url);
  if ("path" in address) return { ...common, path: address.path };
  const { username, password, db } = address;
  const user = { ...common, db, ...(username !== "" && { username }), ...(password !== "" && { password }) };
  if ("sentinels" in address) {
    const { sentinels, name } = address;
    return { ...user, sentinels: [...sentinels], name };
  }
  const { host, port, isEncrypted } = address;
  return { ...user, host, port, ...(isEncrypted && { tls: tlsOptions() }) };
}

/** @throws InvalidOptionError when MILLRACE_REDIS_CA names no certificates */
function tlsOptions(): ConnectionOptions {
  const { redisCa } = readSettings();
  if (redisCa === undefined) return {};
  try {
    const ca = readFileSync(redisCa);
    new X509Certificate(ca); // OpenSSL would take anything, and then trust nobody.
    return { ca };
  } catch {
    throw new InvalidOptionError("MILLRACE_REDIS_CA", "the path of a PEM file with certificates", redisCa);
  }
}
