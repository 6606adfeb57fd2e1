import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { connectPair } from "../../testing/redis.ts";
import { sampleReport } from "../../testing/samples.ts";
import { INLINE_LIMIT_BYTES } from "../wire/call-values.ts";
import { type Keys, keysOf } from "./keys.ts";

// A large batch does not go through BullMQ's scripts, but is kept beside its job, with all that this may bring.

const large = new Uint8Array(INLINE_LIMIT_BYTES).fill(7); // And with all that is around it, more.

let pair: Awaited<ReturnType<typeof connectPair>>;
let keys: Keys;
let redis: Redis;
let runner: TestRunner;

beforeEach(async () => {
  pair = await connectPair();
  keys = keysOf(pair.namespace);
  redis = new Redis(inject("redisUrl"));
  runner = await TestRunner.join(pair.forRunners);
});

afterEach(async () => {
  await runner.link.close();
  await pair.dispose();
  await Promise.all([pair.forRunners.close(), pair.forWorkers.close(), redis.quit()]);
});

const kept = () => redis.hkeys(keys.values(runner.link.runnerId));

/** Sends a large batch; resolves when its job is in the queue. */
async function sendLarge() {
  const batch = runner.send(large);
  while ((await redis.llen(keys.waiting("default"))) === 0) await new Promise(setImmediate);
  return batch;
}

test("a large batch arrives as it was, is not in its job, and goes when it is released", async () => {
  const batch = await sendLarge();
  expect(await redis.hstrlen(keys.job("default", batch.id), "data")).toBeLessThan(1000);
  expect(await kept()).toEqual([batch.id]);
  const worker = await TestWorker.join(pair.forWorkers);
  const delivery = await worker.take();
  expect(Buffer.compare(delivery.batch.calls[0]!.args, large)).toBe(0);
  delivery.report(sampleReport(batch.id));
  delivery.finish();
  await runner.until(() => runner.reports.length === 1); // And the runner releases it.
  while ((await kept()).length > 0) await new Promise(setImmediate);
  await worker.link.close();
  await runner.link.close();
  expect(await pair.leftovers()).toEqual([]);
});

test("a large batch that is not where it was kept is lost, with nobody to blame, and the next ones arrive", async () => {
  const batch = await sendLarge();
  await redis.del(keys.values(runner.link.runnerId));
  const worker = await TestWorker.join(pair.forWorkers);
  const next = runner.send();
  expect((await worker.serveOne()).id).toBe(next.id);
  await runner.until(() => runner.lost.length === 1);
  expect(runner.lost).toMatchObject([{ batchId: batch.id, hasWorkerDied: false }]);
  await worker.link.close();
});

test("a runner that leaves takes along large batches that wait, and those that are on their way", async () => {
  await sendLarge();
  runner.send(large);
  await runner.link.close();
  expect(await pair.leftovers()).toEqual([]);
});

test("a large batch that is cancelled while it waits is taken back with its bytes", async () => {
  const batch = await sendLarge();
  runner.cancel(batch.id, 0);
  await runner.until(() => runner.withdrawn.length === 1);
  runner.link.release(batch.id); // As a dispatcher does.
  while ((await kept()).length > 0) await new Promise(setImmediate);
});
