import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { RUNNER_LEASE_MS } from "../intervals.ts";
import { type RunnerKeys, renewRunnerLease } from "./runner-lease.ts";

let redis: Redis;
let keys: RunnerKeys;

beforeEach(() => {
  redis = new Redis(inject("redisUrl"));
  keys = { runnerId: "r", lease: uniqueNamespace(), others: [] };
});

afterEach(async () => {
  await redis.del(keys.lease);
  redis.disconnect();
});

test("a lease that is there lasts anew", async () => {
  await redis.set(keys.lease, "", "PX", RUNNER_LEASE_MS / 3);
  expect(await renewRunnerLease(redis, keys)).toBe(true);
  expect(await redis.pttl(keys.lease)).toBeGreaterThan(RUNNER_LEASE_MS / 3);
});

test("one that has run out is taken again, and whoever takes it says so", async () => {
  expect(await renewRunnerLease(redis, keys)).toBe(false);
  expect(await redis.pttl(keys.lease)).toBeGreaterThan(0);
});

test("one that another has taken again since it ran out is no news", async () => {
  const set = redis.set.bind(redis) as (...args: unknown[]) => Promise<unknown>;
  vi.spyOn(redis, "set").mockImplementationOnce((async (...args: unknown[]) => {
    await set(keys.lease, "", "PX", RUNNER_LEASE_MS);
    return set(...args);
  }) as typeof redis.set);
  expect(await renewRunnerLease(redis, keys)).toBe(true);
});
