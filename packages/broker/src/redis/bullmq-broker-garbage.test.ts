import { packMessage } from "@millrace/core/internal";
import { Queue } from "bullmq";
import { beforeEach, expect, test } from "vitest";
import { dataOf, type ExposedQueue, useExposedQueue } from "../../testing/exposed-queue.ts";
import { TestWorker } from "../../testing/parties.ts";
import { sampleBatch, sampleReport } from "../../testing/samples.ts";
import { encodeBatch } from "../wire/batch.ts";

// Whoever can write to the Redis can send anything. Nothing of it may end a worker or a runner, or hold up the rest.

const { logged, setUp } = useExposedQueue();
let { pair, keys, redis, runner, worker, expectGoodTraffic, addJob } = {} as ExposedQueue;

beforeEach(async () => {
  ({ pair, keys, redis, runner, worker, expectGoodTraffic, addJob } = await setUp());
});

const anotherVersion = Uint8Array.from(encodeBatch(sampleBatch("runner")));
anotherVersion[1] = 99;

test.each<[string, unknown]>([
  ["bytes that are no message", dataOf(Uint8Array.of(1, 2, 3))],
  ["no bytes", { batch: "" }],
  ["another field", { job: 1 }],
  ["a number in place of the bytes", { batch: 7 }],
  ["no object", "text"],
  ["null", null],
  ["a batch of another version", dataOf(anotherVersion)],
  ["more kept bytes than there may be", { keptBytes: 1e12 }],
  ["a batch without calls", dataOf(encodeBatch({ ...sampleBatch("runner"), calls: [] }))],
])("a job whose data is %s is dropped, with a line in the log", async (_, data) => {
  await addJob(data, "garbage");
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
  const batch = sampleBatch("nobody");
  await addJob(dataOf(encodeBatch(batch)), batch.id);
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
