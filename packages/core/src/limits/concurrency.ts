import * as rules from "../definitions/options.ts";
import { type ActiveContext, activeContext } from "../engine/context.ts";
import { InvalidOptionError, LimitTimeoutError, MissingContextError } from "../errors/errors.ts";
import { processLogger } from "../logger.ts";
import { watchAbort } from "../tools/abort-watch.ts";
import type { Slots } from "./limiter.ts";

export interface ConcurrencyOptions {
  /** How many slots of each name. Default: 1. */
  readonly slots?: number;
  /** How long to wait for them at most. Default: for ever. */
  readonly timeoutSeconds?: number;
}

const optionRules: rules.OptionRules<ConcurrencyOptions> = {
  slots: rules.wholeNumber(1),
  timeoutSeconds: rules.seconds,
};

/**
 * Runs `fn` while holding slots of the names: waits until there is room under the limit of each, and takes all of them
 * at once. Limits are set by a flow's `concurrencyLimits`, or for a cluster by `millrace limit set`. They are given
 * back however `fn` ends. First come, first served.
 *
 *     const rows = await concurrency("database", () => query(sql));
 *
 * @returns what `fn` gives
 * @throws MissingContextError outside every run, LimitExceededError, LimitTimeoutError, InvalidOptionError, and what
 * `fn` throws
 */
export function concurrency<R>(names: string | readonly string[], fn: () => R): Promise<Awaited<R>>;
export function concurrency<R>(
  names: string | readonly string[],
  options: ConcurrencyOptions,
  fn: () => R,
): Promise<Awaited<R>>;
export async function concurrency<R>(
  names: string | readonly string[],
  ...rest: [fn: () => R] | [options: ConcurrencyOptions, fn: () => R]
): Promise<Awaited<R>> {
  const [options, fn] = rest.length === 1 ? [{}, rest[0]] : rest;
  const slots = await acquire("concurrency()", names, options, false);
  try {
    return await fn();
  } finally {
    slots.release();
  }
}

/**
 * Waits until the next one may pass: takes slots of the names, which come back by themselves, `slotDecayPerSecond` of
 * the limit per second.
 *
 * @throws as `concurrency`; InvalidOptionError when a limit has no decay
 */
export async function rateLimit(
  names: string | readonly string[],
  options: ConcurrencyOptions = {},
): Promise<void> {
  await acquire("rateLimit()", names, options, true);
}

async function acquire(
  where: string,
  given: string | readonly string[],
  options: ConcurrencyOptions,
  isRate: boolean,
): Promise<Slots> {
  const context = activeContext();
  if (context === undefined) throw new MissingContextError(where);
  rules.checkOptions(where, options, optionRules);
  const names = typeof given === "string" ? [given] : given;
  if (!rules.texts.accepts(names)) {
    throw new InvalidOptionError(`the names of ${where}`, "a non-empty string, or an array of such", given);
  }
  context.signal.throwIfAborted();
  warnOfUnlimited(names, context);
  const { slots = 1, timeoutSeconds } = options;
  const waiting = new AbortController();
  const timer =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => waiting.abort(new LimitTimeoutError(names, timeoutSeconds)), timeoutSeconds * 1000);
  const unwatch = watchAbort(context.signal, () => waiting.abort(context.signal.reason));
  try {
    const holder = context.taskRunId ?? context.flowRunId;
    return await context.services.limiter.acquire({ names, slots, holder, isRate, signal: waiting.signal });
  } finally {
    clearTimeout(timer);
    unwatch();
  }
}

const warnedOf = new Set<string>();

/** Most often a typing mistake: everything passes. */
function warnOfUnlimited(names: readonly string[], { services }: ActiveContext): void {
  for (const name of names) {
    if (services.limiter.isLimited(name) || warnedOf.has(name)) continue;
    warnedOf.add(name);
    processLogger().warn({ limit: name }, "there is no limit of this name, so everything passes");
  }
}
