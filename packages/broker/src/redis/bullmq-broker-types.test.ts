/**
 * Whoever can write to the Redis can put anything in the place of a key: a text where a stream is read, a list for a hash. Redis refuses
 * what is then asked, each time. It either makes way, or those who wait for it fail with an error that names it; nobody waits for ever,
 * and nobody else is hurt.
 */
import { RedisUnsuitableError, type SlotRequest } from "@millrace/core";
import type { Redis } from "ioredis";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { until } from "../../../../test/support/until.ts";
import { type ExposedQueue, useExposedQueue } from "../../testing/exposed-queue.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { ALL_BYTES, sampleReport } from "../../testing/samples.ts";
import { limitTypes } from "../sharing/limit-scripts.ts";
import { RedisResultStore } from "../sharing/redis-result-store.ts";
import { RedisValues } from "./redis-values.ts";

vi.setConfig({ testTimeout: 60_000 });

const { logged, setUp } = useExposedQueue();
let { pair, keys, redis, runner, worker, seal, expectGoodTraffic } = {} as ExposedQueue;

beforeEach(async () => {
  ({ pair, keys, redis, runner, worker, seal, expectGoodTraffic } = await setUp());
});

/** Puts something of each other type under a key, without a time to live, as a program that is no part of Millrace may. */
const TYPES: Record<string, (redis: Redis, key: string) => Promise<unknown>> = {
  string: (redis, key) => redis.set(key, "odd"),
  list: (redis, key) => redis.lpush(key, "odd"),
  set: (redis, key) => redis.sadd(key, "odd"),
  zset: (redis, key) => redis.zadd(key, 1, "odd"),
  hash: (redis, key) => redis.hset(key, "odd", "odd"),
  stream: (redis, key) => redis.xadd(key, "*", "odd", "odd"),
};

const put = (type: string, key: string) => {
  const transaction = redis.multi().del(key); // In one step: else it might be made anew in between.
  void TYPES[type]?.(transaction as unknown as Redis, key);
  return transaction.exec();
};

/** One that is not what is expected. Redis refuses each alike. */
const OTHER = {
  string: "list",
  list: "string",
  set: "hash",
  zset: "stream",
  hash: "string",
  stream: "zset",
} as const;

/** The error of what must fail, which names the key, what was expected there, and what is. */
async function expectNamed(failing: Promise<unknown>, key: string, expected: string, got: string) {
  const error = await failing.then(
    () => expect.fail(`Expected an error that names ${key}.`),
    (reason: Error) => reason,
  );
  expect(error).toBeInstanceOf(RedisUnsuitableError);
  expect(error.message).toContain(`Expected a ${expected} at ${key}, got a ${got}`);
}

describe("in the place of a stream", () => {
  test("of replies, it makes way, and all is sent again", async () => {
    const batch = runner.send();
    const delivery = await worker.take();
    await put(OTHER.stream, keys.replies(runner.link.runnerId));
    delivery.report(sampleReport(batch.id));
    delivery.finish();
    await runner.until(() => runner.lostIds.includes(batch.id));
    await expectGoodTraffic();
    expect(logged).toContainEqual(expect.objectContaining({ key: keys.replies(runner.link.runnerId) }));
  });

  test("of messages to a worker, it makes way, and what is said reaches it", async () => {
    const batch = runner.send();
    await worker.take();
    await put(OTHER.stream, keys.inbox(worker.workerId));
    runner.cancel(batch.id, 0);
    await worker.until(() => worker.cancelled.length > 0);
    expect(worker.cancelled).toEqual([{ batchId: batch.id, sequences: [0] }]);
  });
});

describe("in the place of a batch", () => {
  test("as its lease: the batch counts as lost, and no other", async () => {
    const other = runner.send();
    const [kept, batch] = [await worker.take(), runner.send()];
    await worker.take();
    await put("hash", keys.lease("default", batch.id));
    await runner.until(() => runner.lost.length > 0);
    await worker.until(() => worker.dropped.length > 0); // It finds so with its next renewal, of both.
    kept.report(sampleReport(other.id));
    kept.finish();
    await runner.until(() => runner.reports.length > 0);
    expect(runner.lostIds).toEqual([batch.id]);
    expect(worker.dropped).toEqual([batch.id]);
    await expectGoodTraffic();
  });

  test("that waits: it counts as lost, and others are taken", async () => {
    const batch = runner.send();
    await until("it waits", async () => (await redis.llen(keys.waiting("default"))) === 1);
    await put(OTHER.hash, keys.job("default", batch.id));
    await runner.until(() => runner.lost.length > 0);
    await expectGoodTraffic();
    expect(runner.lostIds).toEqual([batch.id]);
    expect(await redis.exists(keys.job("default", batch.id))).toBe(0);
  });
});

describe("in the place of what a queue is, something else is named", () => {
  const types = {
    ...({ meta: "hash", id: "string", events: "stream", marker: "zset" } as const),
    ...({ wait: "list", active: "list" } as const),
  };

  test.each(Object.entries(types))(
    "%s: to those whose batches wait, and to those who join",
    async (name, expected) => {
      const key = `${keys.prefix}:default:${name}`;
      const got = OTHER[expected as keyof typeof OTHER];
      await put(got, key);
      runner.send();
      await runner.until(() => runner.unavailable.length > 0);
      await expectNamed(Promise.reject(runner.unavailable[0]), key, expected, got);
      await expectNamed(TestRunner.join(pair.forRunners), key, expected, got);
      await expectNamed(TestWorker.join(pair.forWorkers), key, expected, got);
      const { problems } = await pair.forRunners.status();
      expect(problems).toContainEqual(
        expect.stringContaining(`Expected a ${expected} at ${key}, got a ${got}`),
      );
      // Another queue of the same Redis goes on, and so does this one when the key is gone.
      const [elsewhere, queue] = [pair.forWorkers.onQueue("other"), pair.forRunners.onQueue("other")];
      const [otherRunner, otherWorker] = [await TestRunner.join(queue), await TestWorker.join(elsewhere)];
      const batch = otherRunner.send();
      expect((await otherWorker.serveOne()).id).toBe(batch.id);
      await otherRunner.link.close();
      await otherWorker.link.close();
      await redis.del(key);
      const newcomer = await TestRunner.join(pair.forRunners);
      const late = newcomer.send();
      for (;;) if ((await worker.serveOne()).id === late.id) break;
      await newcomer.until(() => newcomer.reports.length > 0);
      await newcomer.link.close();
    },
  );

  test("and in the log of a worker", async () => {
    const taking = worker.link.take();
    await put("string", keys.waiting("default"));
    await redis.zadd(`${keys.prefix}:default:marker`, 0, "0"); // Wakes it.
    await until("it is said", () => logged.some(({ msg }) => msg === "no batch can be taken from the queue"));
    expect(logged.at(-1)?.err?.message).toContain(
      `Expected a list at ${keys.waiting("default")}, got a string`,
    );
    await redis.del(keys.waiting("default"));
    const batch = runner.send();
    expect((await taking)?.batch.id).toBe(batch.id);
  });
});

describe("in the place of signs of life", () => {
  test("of all workers, it makes way, and nobody counts as dead", async () => {
    const batch = runner.send();
    const delivery = await worker.take();
    await put(OTHER.set, keys.workers("default"));
    await until(
      "it is a set again",
      async () => (await redis.sismember(keys.workers("default"), worker.workerId).catch(() => 0)) === 1,
    );
    delivery.report(sampleReport(batch.id));
    delivery.finish();
    await runner.until(() => runner.reports.length > 0);
    expect(runner.lost).toEqual([]);
    const other = await TestWorker.join(pair.forWorkers, 3);
    await runner.until(() => runner.capacities.at(-1)?.slots === 4);
    await other.link.close();
  });

  test("of one worker, a list is written over with its next beat, and its batches come back", async () => {
    const batch = runner.send();
    await worker.take();
    await put("list", keys.worker(worker.workerId));
    await until("it is", async () => (await redis.type(keys.worker(worker.workerId))) === "string");
    if (runner.lost.length > 0) expect(runner.lostIds).toEqual([batch.id]);
    await expectGoodTraffic();
  });

  test("of a runner: its batches go on", async () => {
    const batch = runner.send();
    const delivery = await worker.take();
    const lease = keys.runnerLease(runner.link.runnerId);
    const monitor = await redis.monitor();
    await put(OTHER.string, lease);
    // The worker looks at the runners of its batches every 5 s; the runner itself only renews.
    await new Promise<void>((resolve) => {
      monitor.on("monitor", (_, [command = "", ...args]: string[]) => {
        if (args.includes(lease) && /^(exists|mget|get)$/i.test(command)) resolve();
      });
    });
    monitor.disconnect();
    await redis.ping(); // It has the answer.
    delivery.report(sampleReport(batch.id));
    delivery.finish();
    await runner.until(() => runner.reports.length > 0);
    expect([...runner.lost, ...worker.dropped]).toEqual([]);
  });

  test("of a worker's death, it is no note: its batches are lost all the same", async () => {
    const batch = runner.send();
    await worker.take();
    await put(OTHER.string, keys.death(worker.workerId));
    await redis.del(keys.worker(worker.workerId));
    await redis.srem(keys.workers("default"), worker.workerId);
    await redis.publish(keys.workerNews("default"), "");
    await runner.until(() => runner.lost.length > 0);
    expect(runner.lost).toMatchObject([{ batchId: batch.id, hasWorkerDied: true }]);
    expect(runner.lost[0]?.reason).toContain("its heartbeat ended");
  });

  test("of anybody, in `millrace status` they are left out", async () => {
    await put("list", keys.runner("odd"));
    await put("hash", keys.runnerLease("odd"));
    await put("set", keys.worker("odd"));
    expect(await pair.forRunners.status()).toMatchObject({
      runners: [],
      problems: [],
      workers: [{ workerId: worker.workerId }],
    });
    await put("string", keys.workers("default"));
    const { problems } = await pair.forRunners.status();
    if (problems.length > 0)
      expect(problems[0]).toContain(`Expected a set at ${keys.workers("default")}, got a string`);
  });
});

describe("in the place of what is kept", () => {
  test.each(Object.keys(TYPES).filter((type) => type !== "hash"))(
    "of a runner's values, a %s makes way",
    async (type) => {
      const values = new RedisValues(redis, keys, seal);
      const reference = { runnerId: runner.link.runnerId, id: "a", sizeBytes: ALL_BYTES.length };
      await put(type, keys.values(reference.runnerId));
      expect(await values.read(reference)).toBeUndefined();
      await values.write(reference, ALL_BYTES);
      expect(Buffer.compare((await values.read(reference)) as Uint8Array, ALL_BYTES)).toBe(0);
      // Batches that are large are kept there, too.
      await put(type, keys.values(reference.runnerId));
      const batch = runner.send(new Uint8Array(200_000));
      expect((await worker.serveOne()).id).toBe(batch.id);
      values.close();
    },
  );

  test.each(Object.keys(TYPES).filter((type) => type !== "string"))(
    "of a result, or the claim to compute it, a %s is none, and is written over",
    async (type) => {
      const store = new RedisResultStore(redis, keys, seal);
      await put(type, keys.result("key"));
      await put(type, keys.resultClaim("key"));
      expect(await store.read("key")).toBeUndefined();
      const claim = await store.claim("key");
      const result = { value: Uint8Array.of(1, 2, 3), expiresAt: undefined };
      await store.write("key", result);
      expect((await store.read("key"))?.value).toEqual(Buffer.from(result.value));
      await put(type, keys.resultClaim("key"));
      await claim.release();
      await (await store.claim("key")).release();
      expect(await redis.exists(keys.resultClaim("key"))).toBe(0);
    },
  );
});

describe("in the place of limits", () => {
  const request: SlotRequest = { names: ["db"], slots: 1, holder: "h", isRate: false };

  test.each(Object.keys(TYPES).filter((type) => type !== "hash"))(
    "as they are set, a %s is named",
    async (type) => {
      await put(type, keys.limits);
      const limits = pair.forRunners.limits();
      for (const asked of [
        limits.set("db", { slots: 1 }),
        limits.remove("db"),
        limits.inspect(),
        pair.forRunners.openLimiter(),
      ])
        await expectNamed(asked, keys.limits, "hash", type);
    },
  );

  test("as they are kept, something else is named to who waits for them, and to who looks", async () => {
    const limits = pair.forRunners.limits();
    await limits.set("db", { slots: 1 });
    await limits.set("good", { slots: 1 });
    const limiter = await pair.forRunners.openLimiter();
    for (const [key, expected] of Object.entries(limitTypes(keys, ["db"]))) {
      if (key === keys.limits || key.includes(":rate:")) continue;
      const holding = await limiter.acquire(request);
      const waiting = limiter.acquire(request);
      await put(OTHER[expected], key);
      await expectNamed(waiting, key, expected, OTHER[expected]);
      const isOfAll = key.endsWith(":waiters"); // Nobody is in a line, so nobody looks whether somebody lives.
      if (!isOfAll) await expectNamed(limits.inspect(), key, expected, OTHER[expected]);
      holding.release();
      if (!isOfAll) (await limiter.acquire({ ...request, names: ["good"] })).release();
      await redis.del(key);
      (await limiter.acquire(request)).release();
    }
    await limiter.close();
  });
});
