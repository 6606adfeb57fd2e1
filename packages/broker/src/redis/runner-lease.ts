import { Worker } from "node:worker_threads";
import { RUNNER_LEASE_MS, RUNNER_LEASE_RENEWAL_MS, STREAM_TTL_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";

/** The keys of one runner that go when nobody renews them. */
export interface RunnerKeys {
  readonly runnerId: string;
  readonly lease: string;
  readonly others: readonly string[];
}

export type ToLeaseThread = { readonly hold: RunnerKeys } | { readonly release: string };
export interface FromLeaseThread {
  /** This runner's lease had run out. */
  readonly lapsed: string;
}

/** `src` and `dist` are side by side: threads run the built file in both, since a thread cannot load our TypeScript. */
const THREAD = new URL("../../dist/redis/lease-thread.js", import.meta.url);

/** A thread costs 60 ms of processor time and 10 MB: most flows end before they need it. A lease that is new lasts longer. */
const THREAD_AFTER_MS = RUNNER_LEASE_RENEWAL_MS / 2;

/**
 * Makes the lease last. False: it had run out, and workers may have dropped what they had of the runner.
 *
 * @throws what Redis refuses
 */
export async function renewRunnerLease(redis: Redis, { lease, others }: RunnerKeys): Promise<boolean> {
  // Not in a transaction, of which a Redis that is full refuses every command, also those that need no memory.
  const renewal = redis.pipeline().pexpire(lease, RUNNER_LEASE_MS);
  for (const key of others) renewal.pexpire(key, STREAM_TTL_MS);
  const [error, renewed] = (await renewal.exec())?.[0] ?? [];
  if (error) throw error;
  if (renewed === 1) return true;
  // By the thread or by `RunnerLeases.renew`, whoever is first: of one lapse, all is sent again once.
  return (await redis.set(lease, "", "PX", RUNNER_LEASE_MS, "NX")) === null;
}

/**
 * The leases of the runners of this process, which a thread with a connection of its own renews: a flow that computes for a
 * minute must not lose its workers.
 */
export class RunnerLeases {
  readonly #redis: Redis;
  readonly #redisUrl: string;
  readonly #held = new Map<string, { readonly keys: RunnerKeys; readonly onLapsed: () => void }>();
  #timer: NodeJS.Timeout | undefined;
  #thread: Worker | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #renewed: Promise<unknown> = Promise.resolve();

  constructor(redis: Redis, redisUrl: string) {
    this.#redis = redis;
    this.#redisUrl = redisUrl;
  }

  /** Takes the lease. @param onLapsed it had run out, and has been taken again */
  async take(runnerId: string, names: Keys, onLapsed: () => void): Promise<void> {
    const others = [names.replies(runnerId), names.values(runnerId), names.runner(runnerId)];
    const keys = { runnerId, lease: names.runnerLease(runnerId), others };
    this.#held.set(runnerId, { keys, onLapsed });
    this.#thread?.postMessage({ hold: keys } satisfies ToLeaseThread);
    this.#timer ??= setTimeout(() => this.#startThread(), THREAD_AFTER_MS);
    await this.#redis.set(keys.lease, "", "PX", RUNNER_LEASE_MS);
  }

  /**
   * Makes the lease last, when all that its runner had sent is about to be sent again. Else the thread finds up to 5 s later that it is gone, and
   * all is sent once more; and until then workers that do not know the runner drop what comes of it.
   *
   * @throws what Redis refuses
   */
  async renew(runnerId: string): Promise<void> {
    const held = this.#held.get(runnerId);
    if (held === undefined) return;
    const renewed = renewRunnerLease(this.#redis, held.keys);
    this.#renewed = Promise.allSettled([this.#renewed, renewed]);
    await renewed;
  }

  async release(runnerId: string): Promise<void> {
    const lease = this.#held.get(runnerId)?.keys.lease;
    if (lease === undefined) return;
    this.#held.delete(runnerId);
    this.#thread?.postMessage({ release: runnerId } satisfies ToLeaseThread);
    if (this.#held.size === 0) this.#stop();
    await Promise.all([this.#ended, this.#renewed]); // It may be renewed just now: then the key would come back.
    await this.#redis.del(lease);
  }

  #startThread(): void {
    const thread = new Worker(THREAD, { workerData: this.#redisUrl, execArgv: [] });
    this.#thread = thread;
    thread.unref();
    thread.on("message", ({ lapsed }: FromLeaseThread) => this.#held.get(lapsed)?.onLapsed());
    thread.on("error", () => {}); // It ends, and is started again.
    thread.on("exit", () => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      this.#timer = setTimeout(() => this.#startThread(), THREAD_AFTER_MS);
    });
    for (const { keys } of this.#held.values()) thread.postMessage({ hold: keys } satisfies ToLeaseThread);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const thread = this.#thread;
    this.#thread = undefined;
    if (thread !== undefined) this.#ended = thread.terminate();
  }
}
