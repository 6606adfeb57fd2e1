/**
 * A Redis whose memory is full refuses what needs more of it, one that lacks a disk or a replica whatever writes. Nobody is to be
 * taken for dead for that, and nothing is lost.
 */
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { RestartableRedis } from "../../../../test/support/restartable-redis.ts";
import { until } from "../../../../test/support/until.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { ALL_BYTES, sampleReport } from "../../testing/samples.ts";
import { BullMqBroker } from "./bullmq-broker.ts";
import { keysOf } from "./keys.ts";

const NAMESPACE = "full";

const cleanups = useCleanups();

/** @param patienceSeconds how long what is refused may keep others waiting */
async function setUp(patienceSeconds?: number) {
  const server = await RestartableRedis.start();
  cleanups.push(() => server[Symbol.asyncDispose]());
  const broker = await BullMqBroker.connect({ redisUrl: server.url, namespace: NAMESPACE, patienceSeconds });
  cleanups.push(() => broker.close());
  const runner = await TestRunner.join(broker);
  cleanups.push(() => runner.link.close());
  const worker = await TestWorker.join(broker);
  cleanups.push(() => worker.link.close());
  return {
    ...{ server, runner, worker },
    fill: () => server.setMemoryLimit("1mb"), // It has more already.
    makeRoom: () => server.setMemoryLimit("0"),
  };
}

test("a Redis that is full lets everything last whose owner lives", async () => {
  const { server, runner, worker, fill } = await setUp();
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  const batch = runner.send();
  await worker.take();
  await fill();
  const keys = keysOf(NAMESPACE);
  const { runnerId } = runner.link;
  const { workerId } = worker;
  const names = [
    ...[
      keys.worker(workerId),
      keys.workers("default"),
      keys.inbox(workerId),
      keys.lease("default", batch.id),
    ],
    ...[keys.runnerLease(runnerId), keys.replies(runnerId)],
  ];
  // What only runs out never lasts longer than a moment ago.
  const lasts = new Map<string, number>();
  const renewed = new Set<string>();
  await until(
    "each is renewed",
    async () => {
      for (const name of names) {
        const now = await redis.pttl(name);
        if (now > (lasts.get(name) ?? Number.POSITIVE_INFINITY)) renewed.add(name);
        lasts.set(name, now);
      }
      return renewed.size === names.length;
    },
    15_000,
  );
  expect(runner.lost).toEqual([]);
});

test("a Redis that refused every write takes nobody for dead when it takes them again", async () => {
  const { server, runner, worker } = await setUp();
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  const keys = keysOf(NAMESPACE);
  const batch = runner.send();
  const delivery = await worker.take();
  await redis.config("SET", "min-replicas-to-write", "1"); // It has none.
  await until(
    "the heartbeat has ended",
    async () => (await redis.exists(keys.worker(worker.workerId))) === 0,
  );
  await until("the runner has seen it", async () => {
    const refused = await redis.info("commandstats");
    return /cmdstat_srem:.*rejected_calls=[1-9]/.test(refused);
  });
  await redis.config("SET", "min-replicas-to-write", "0");
  // The runner looks at once, before the worker has spoken again.
  await redis.publish(keys.workerNews("default"), "");
  await until("it has", async () => (await redis.exists(keys.worker(worker.workerId))) === 1);
  delivery.report(sampleReport(batch.id));
  delivery.finish();
  await runner.until(() => runner.reports.length > 0);
  expect(runner.lost).toEqual([]);
});

test("a batch that is refused is not lost meanwhile, and is put into the queue once", async () => {
  const { server, runner, worker, fill, makeRoom } = await setUp();
  await fill();
  const batch = runner.send();
  // It is tried every 200 ms. What is not in the queue for 500 ms counts as lost.
  await server.hasRefused(20);
  expect(runner.lost).toEqual([]);
  await makeRoom();
  expect((await worker.serveOne()).id).toBe(batch.id);
  await runner.until(() => runner.reports.length > 0);
});

test("a batch that is refused and was let go is not put into the queue", async () => {
  const { server, runner, fill, makeRoom } = await setUp();
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  await fill();
  const { id } = runner.send();
  await server.hasRefused(3);
  runner.link.release(id);
  await makeRoom();
  await until("it is no longer on its way", async () => {
    const found = await runner.link.locate([id]);
    return "places" in found && !found.places.has(id);
  });
  expect(await redis.exists(keysOf(NAMESPACE).job("default", id))).toBe(0);
});

test("what a full Redis refuses to tell a worker reaches it when there is room, once, however late", async () => {
  const { server, runner, worker, fill, makeRoom } = await setUp(0.1);
  const batch = runner.send();
  await worker.take();
  await fill();
  runner.cancel(batch.id, 0);
  runner.link.answer(worker.workerId, { batchId: batch.id, sequence: 0, id: 1, body: ALL_BYTES });
  await server.hasRefused(10); // Both, every 200 ms.
  await makeRoom();
  await worker.until(() => worker.cancelled.length > 0 && worker.answers.length > 0);
  expect(worker.cancelled).toEqual([{ batchId: batch.id, sequences: [0] }]);
  expect(worker.answers).toHaveLength(1);
});

test("what is said to a worker that makes its inbox anew reaches it", async () => {
  const { server, runner, worker } = await setUp();
  const redis = new Redis(server.url);
  cleanups.push(() => redis.quit());
  const batch = runner.send();
  await worker.take();
  // As after a restart without the latest data: it will be noticed.
  await redis.del(keysOf(NAMESPACE).inbox(worker.workerId));
  runner.cancel(batch.id, 0);
  await worker.until(() => worker.cancelled.length > 0);
  expect(worker.cancelled).toEqual([{ batchId: batch.id, sequences: [0] }]);
});
