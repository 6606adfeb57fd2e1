import { Redis } from "ioredis";
import { afterEach, expect, inject, test, vi } from "vitest";
import { until } from "../../../../test/support/until.ts";
import { TestRunner } from "../../testing/parties.ts";
import { connectPair } from "../../testing/redis.ts";
import { STREAM_RENEWAL_MS, STREAM_TTL_MS } from "../intervals.ts";
import { keysOf } from "./keys.ts";
import { parseRunner } from "./runner-registry.ts";

afterEach(() => vi.useRealTimers());

test("a runner says how many calls it has for as long as it is there, not only when it joins", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const pair = await connectPair();
  const redis = new Redis(inject("redisUrl"));
  let calls = 0;
  const owner = { flowRunId: "flow-run", flowName: "report", calls: () => calls };
  const { link } = await TestRunner.join(pair.forRunners, owner);
  const key = keysOf(pair.namespace).runner(link.runnerId);
  const callsOf = async () => parseRunner(await redis.get(key))?.calls;
  expect(await callsOf()).toBe(0);
  calls = 3;
  await redis.pexpire(key, STREAM_TTL_MS / 2);
  vi.advanceTimersByTime(STREAM_RENEWAL_MS);
  await until("it says so", async () => (await callsOf()) === 3);
  expect(await redis.pttl(key)).toBeGreaterThan(STREAM_TTL_MS / 2);
  await link.close();
  calls = 4;
  vi.advanceTimersByTime(STREAM_RENEWAL_MS);
  expect(await redis.exists(key)).toBe(0);
  await pair.dispose();
  await Promise.all([pair.forRunners.close(), pair.forWorkers.close(), redis.quit()]);
});
