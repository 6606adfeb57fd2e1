/** The thread that renews the leases of the runners of its process: see runner-lease.ts. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { RUNNER_LEASE_RENEWAL_MS } from "../intervals.ts";
import { connectRedis, type Redis } from "./redis-connection.ts";
import {
  type FromLeaseThread,
  type RunnerKeys,
  renewRunnerLease,
  type ToLeaseThread,
} from "./runner-lease.ts";

const RETRY_MS = 1_000;

const held = new Map<string, RunnerKeys>();

parentPort?.on("message", (message: ToLeaseThread) => {
  if ("hold" in message) held.set(message.hold.runnerId, message.hold);
  else held.delete(message.release);
});

const redis = await connect();
for (;;) {
  for (const keys of held.values()) await renew(keys);
  await sleep(RUNNER_LEASE_RENEWAL_MS);
}

async function renew(keys: RunnerKeys): Promise<void> {
  const isHeld = await renewRunnerLease(redis, keys).catch(() => true); // The next renewal tells.
  if (!isHeld && held.has(keys.runnerId))
    parentPort?.postMessage({ lapsed: keys.runnerId } satisfies FromLeaseThread);
}

/** Redis may be away just now. */
async function connect(): Promise<Redis> {
  for (;;) {
    try {
      return await connectRedis(workerData as string);
    } catch {
      await sleep(RETRY_MS);
    }
  }
}
