import { logTo } from "@millrace/core";
import { packMessage } from "@millrace/core/internal";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { TestRunner, TestWorker } from "../testing/parties.ts";
import { connectPair } from "../testing/redis.ts";
import { sampleBatch, sampleReport } from "../testing/samples.ts";
import { encodeBatch } from "./batch.ts";
import { type Keys, keysOf } from "./keys.ts";

// Whoever can write to the Redis can send anything. Nothing of it may end a worker or a runner, or hold up the rest.

let pair: Awaited<ReturnType<typeof connectPair>>;
let keys: Keys;
let redis: Redis;
let runner: TestRunner;
let worker: TestWorker;
const logged: { msg: string; err?: { message: string } }[] = [];

beforeEach(async () => {
  logTo({ write: (line) => logged.push(JSON.parse(line)) });
  pair = await connectPair();
  keys = keysOf(pair.namespace);
  redis = new Redis(inject("redisUrl"));
  runner = await TestRunner.join(pair.forRunners);
  worker = await TestWorker.join(pair.forWorkers);
});

afterEach(async () => {
  await worker.link.close();
  await runner.link.close();
  await pair.dispose();
  await Promise.all([pair.forRunners.close(), pair.forWorkers.close(), redis.quit()]);
  logTo(undefined);
  logged.length = 0;
});

async function expectGoodTraffic(): Promise<void> {
  const batch = runner.send();
  expect((await worker.serveOne()).id).toBe(batch.id);
  await runner.until(() => runner.reports.some(({ batchId }) => batchId === batch.id));
}

const anotherVersion = Uint8Array.from(encodeBatch(sampleBatch("runner")));
anotherVersion[1] = 99;

const asData = (bytes: Uint8Array) => ({ batch: Buffer.from(bytes).toString("base64") });

test.each<[string, unknown]>([
  ["bytes that are no message", asData(Uint8Array.of(1, 2, 3))],
  ["no bytes", { batch: "" }],
  ["another field", { job: 1 }],
  ["a number in place of the bytes", { batch: 7 }],
  ["no object", "text"],
  ["null", null],
  ["a batch of another version", asData(anotherVersion)],
  ["more kept bytes than there may be", { keptBytes: 1e12 }],
  ["a batch without calls", asData(encodeBatch({ ...sampleBatch("runner"), calls: [] }))],
])("a job whose data is %s is dropped, with a line in the log", async (_, data) => {
  const queue = new Queue("default", { connection: redis, prefix: keys.prefix });
  await queue.add("batch", data, { jobId: "garbage", removeOnComplete: true });
  await queue.close();
  await expectGoodTraffic();
  expect(logged.map(({ msg }) => msg)).toContain("a batch could not be read and was dropped");
  await runner.link.close();
  await worker.link.close();
  expect(await pair.leftovers()).toEqual([]);
});

test("a job that is not even BullMQ's does not hold up the others", async () => {
  const queue = new Queue("default", { connection: redis, prefix: keys.prefix });
  await queue.add("batch", {}, { jobId: "broken" });
  await redis.hset(keys.job("default", "broken"), "data", "{");
  await queue.close();
  await expectGoodTraffic();
});

test("a batch for a runner that never was is dropped", async () => {
  const queue = new Queue("default", { connection: redis, prefix: keys.prefix });
  const batch = sampleBatch("nobody");
  await queue.add("batch", asData(encodeBatch(batch)), { jobId: batch.id, removeOnComplete: true });
  await queue.close();
  await expectGoodTraffic();
  expect(await redis.exists(keys.replies("nobody"), keys.job("default", "stray"))).toBe(0);
});

test.each<[string, string[]]>([
  ["bytes that are no message", ["r", "\u0001\u0002"]],
  ["nothing", ["r", ""]],
  ["a field of another name", ["other", "value"]],
  ["several fields", ["r", "x", "s", "y"]],
])("an entry of the reply stream with %s is left out", async (_, fields) => {
  await redis.xadd(keys.replies(runner.link.runnerId), "*", ...fields);
  await expectGoodTraffic();
});

test("a report of another version is left out, with the advice to run one version", async () => {
  const bytes = Buffer.from(packMessage([99, "batch", [], ""]));
  await redis.xadd(keys.replies(runner.link.runnerId), "*", "r", bytes);
  await expectGoodTraffic();
  expect(logged).toContainEqual(
    expect.objectContaining({
      msg: "a reply could not be read and was left out",
      err: expect.objectContaining({ message: expect.stringContaining("run the same version of Millrace") }),
    }),
  );
});

test("a report of a batch that the runner does not know reaches it: only the runner can tell", async () => {
  await redis.xadd(keys.replies(runner.link.runnerId), "*", "r", Buffer.from(sampleReport("unknown").bytes));
  await expectGoodTraffic();
  expect(runner.reports[0]!.batchId).toBe("unknown");
});

test.each([
  "{",
  "null",
  "7",
  '{"workerId":7,"threads":1}',
  '{"workerId":"x","threads":-1}',
  '{"workerId":"x"}',
])("a worker that calls itself %j does not count", async (record) => {
  await redis.set(keys.worker("odd"), record, "PX", 10_000);
  await redis.sadd(keys.workers("default"), "odd");
  const other = await TestWorker.join(pair.forWorkers, 3);
  await runner.until(() => runner.capacities.at(-1)?.slots === 4);
  expect(runner.capacities.at(-1)).toEqual({ workers: 2, slots: 4 });
  await other.link.close();
});
