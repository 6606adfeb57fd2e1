import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { describe, expect, inject, test } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { startPrivateRedis } from "../../../../test/support/private-redis.ts";
import { until } from "../../../../test/support/until.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { connectPair } from "../../testing/redis.ts";
import { sampleReport } from "../../testing/samples.ts";
import { WORKER_CHILD } from "../../testing/worker-child.ts";
import { HEARTBEAT_TTL_MS, LEAVE_MS, SWEEP_MS } from "../intervals.ts";
import { BullMqBroker } from "./bullmq-broker.ts";
import { keysOf } from "./keys.ts";

const BUILT_BROKER = new URL("../../dist/redis/bullmq-broker.js", import.meta.url).href;

/** What a busy machine may add to what intervals.ts promises. */
const SLACK_MS = 2_000;

const cleanups = useCleanups();

async function setUp() {
  const pair = await connectPair();
  cleanups.push(async () => {
    await runner.link.close();
    expect(await pair.leftovers()).toEqual([]);
    await pair.dispose();
    await Promise.all([pair.forRunners.close(), pair.forWorkers.close()]);
  });
  const runner = await TestRunner.join(pair.forRunners);
  return { ...pair, runner };
}

/** Starts a worker process; gives what it says, line by line. */
function startWorkerProcess(namespace: string, workerId: string) {
  const flags = ["--input-type=module", "--eval", WORKER_CHILD];
  const child: ChildProcess = spawn(
    process.execPath,
    [...flags, BUILT_BROKER, inject("redisUrl"), namespace, workerId],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  cleanups.push(kill);
  return { kill, says: async () => (await lines.next()).value as string };
}

describe("a worker process that is killed", () => {
  test("loses its batch within the time in which a heartbeat ends, and no other batch", async () => {
    const { runner, namespace, forWorkers } = await setUp();
    const child = startWorkerProcess(namespace, "victim");
    expect(await child.says()).toBe("joined");
    const survivor = await TestWorker.join(forWorkers);
    const batch = runner.send();
    expect(await child.says()).toBe(`took ${batch.id}`);
    const other = runner.send();
    const held = await survivor.take();

    await child.kill();
    const killedAt = performance.now();
    await runner.until(() => runner.lost.length > 0);
    expect(performance.now() - killedAt).toBeLessThan(HEARTBEAT_TTL_MS + SWEEP_MS + SLACK_MS);
    expect(runner.lostIds).toEqual([batch.id]);
    expect(runner.lost[0]!.reason).toBe("Worker victim died or was cut off: its heartbeat ended.");
    await runner.until(() => runner.capacities.at(-1)?.workers === 1);
    held.report(sampleReport(other.id));
    held.finish();
    await survivor.link.close();
  });

  test("loses its batch at once, and with the reason, when a nanny says that it died", async () => {
    const { runner, namespace, forRunners } = await setUp();
    const redis = new Redis(inject("redisUrl"));
    cleanups.push(async () => {
      await redis.del(keysOf(namespace).death("victim")); // It is read for a while.
      await redis.quit();
    });
    const child = startWorkerProcess(namespace, "victim");
    await child.says();
    const batch = runner.send();
    expect(await child.says()).toBe(`took ${batch.id}`);
    await child.kill();
    const diedAt = performance.now();
    await forRunners.workerDied("victim", "It ended with exit code 7.");
    await runner.until(() => runner.lost.length > 0);
    expect(performance.now() - diedAt).toBeLessThan(HEARTBEAT_TTL_MS / 2);
    expect(runner.lost[0]!.reason).toBe("Worker victim died. It ended with exit code 7.");
    expect(runner.capacities.at(-1)).toEqual({ workers: 0, slots: 0 });
  });
});

test("the holder of a lease is the worker, by its id", async () => {
  const { runner, namespace, forWorkers } = await setUp();
  const worker = await TestWorker.join(forWorkers, 1, "the-holder");
  const redis = new Redis(inject("redisUrl"));
  cleanups.push(() => redis.quit());
  const batch = runner.send();
  const lease = keysOf(namespace).lease("default", batch.id);
  expect(await redis.get(lease)).toBeNull();
  const delivery = await worker.take();
  expect(await redis.get(lease)).toBe("the-holder");
  delivery.report(sampleReport(batch.id));
  delivery.finish();
  await worker.link.close();
  expect(await redis.get(lease)).toBeNull();
});

test("a worker that has lost its lease is told to stop, and what it reports reaches nobody", async () => {
  const { runner, namespace, forWorkers } = await setUp();
  const worker = await TestWorker.join(forWorkers);
  const redis = new Redis(inject("redisUrl"));
  cleanups.push(() => redis.quit());
  const batch = runner.send();
  const delivery = await worker.take();
  await redis.del(keysOf(namespace).lease("default", batch.id));
  await runner.until(() => runner.lost.length > 0);
  expect(runner.lost).toEqual([
    { batchId: batch.id, reason: "The lease on the batch ran out.", hasWorkerDied: false },
  ]);
  await worker.until(() => worker.dropped.includes(batch.id));
  delivery.report(sampleReport(batch.id));
  delivery.finish();
  const next = runner.send();
  expect((await worker.serveOne()).id).toBe(next.id);
  await runner.until(() => runner.reports.length > 0);
  expect(runner.reports.map(({ batchId }) => batchId)).toEqual([next.id]);
  await worker.link.close();
});

test("batches of a runner that is gone are dropped: those that run, and those that wait", async () => {
  const { runner, namespace, forRunners, forWorkers } = await setUp();
  const worker = await TestWorker.join(forWorkers);
  const dead = await TestRunner.join(forRunners);
  const running = dead.send();
  await worker.take();
  const waiting = dead.send();
  const redis = new Redis(inject("redisUrl"));
  cleanups.push(() => redis.quit());
  const keys = keysOf(namespace);
  await until("it waits", async () => (await redis.exists(keys.job("default", waiting.id))) === 1);
  // As a runner's process that has died leaves it: nobody renews its lease.
  const lease = keys.runnerLease(dead.link.runnerId);
  const ending = setInterval(() => void redis.del(lease), 10);
  cleanups.push(() => clearInterval(ending));
  await worker.until(() => worker.dropped.includes(running.id));
  const next = runner.send();
  expect((await worker.serveOne()).id).toBe(next.id);
  await until("nothing of it waits", async () => (await redis.exists(keys.job("default", waiting.id))) === 0);
  clearInterval(ending);
  await worker.link.close();
  await dead.link.close();
});

test("a Redis that lost its data is noticed, and batches sent then are served", async () => {
  const { runner, namespace, forWorkers } = await setUp();
  const redis = new Redis(inject("redisUrl"));
  cleanups.push(() => redis.quit());
  const batch = runner.send();
  await runner.until(() => runner.capacities.length > 0);
  await redis.del(keysOf(namespace).job("default", batch.id), `${keysOf(namespace).prefix}:default:wait`);
  await runner.until(() => runner.lost.length > 0);
  expect(runner.lost[0]!.reason).toMatch(/Redis may have lost its data/);
  const worker = await TestWorker.join(forWorkers);
  runner.send();
  await worker.serveOne();
  await runner.until(() => runner.reports.length > 0);
  await worker.link.close();
});

test("everybody can leave when Redis has gone", async () => {
  const redis = await startPrivateRedis();
  cleanups.push(() => redis.kill());
  const broker = await BullMqBroker.connect({ redisUrl: redis.url, namespace: "abandoned" });
  const runner = await TestRunner.join(broker);
  const worker = await TestWorker.join(broker);
  runner.send();
  await worker.take();
  const waiting = worker.link.take();
  await redis.kill();

  const startedAt = performance.now();
  worker.link.stopTaking();
  await Promise.all([runner.link.close(), worker.link.close()]);
  await broker.close();
  expect(await waiting).toBeUndefined();
  expect(performance.now() - startedAt).toBeLessThan(LEAVE_MS + SLACK_MS);
});
