/** The workers of one machine: their start, their number, their end, and who may end them. */
import { availableParallelism } from "node:os";
import {
  BrokerUnavailableError,
  DistributedTaskRunner,
  flow,
  InvalidOptionError,
  LocalCluster,
  type LocalClusterOptions,
  unmapped,
  WorkerStartError,
} from "millrace";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { findFreePort } from "../support/find-redis.ts";
import { Gate } from "../support/gate.ts";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../support/leaks.ts";
import { keepLogs } from "../support/logs.ts";
import { allKeys, redisDatabase } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();

const redis = redisDatabase(2);
let before: ResourceSnapshot;

beforeEach(async () => {
  before = await snapshotResources();
});

// Every test of this file leaves nothing: no process, thread, socket, timer, or key.
afterEach(async () => {
  await expectReleased(before);
  expect(await allKeys(redis)).toEqual([]);
});

const BROKERS: readonly [string, LocalClusterOptions][] = [
  ["memory", { broker: "memory", threads: 1 }],
  ["redis", { broker: "redis", redis, threads: 1 }],
];

const sum = flow({ name: "sum" }, async () => tasks.sum(tasks.add.map([1, 2, 3], unmapped(1))));

function sumOn(cluster: LocalCluster | (() => LocalCluster | Promise<LocalCluster>)): Promise<number> {
  return sum.withOptions({ taskRunner: new DistributedTaskRunner({ cluster }) })();
}

describe.each(BROKERS)("with broker %s", (broker, options) => {
  test("a cluster runs, serves flow runs one after the other and beside each other, and closes", async () => {
    await using cluster = new LocalCluster({ ...options, workers: 2 });
    expect(cluster.workers).toBe(0);
    expect(await cluster.start()).toBe(cluster);
    expect(cluster.workers).toBe(2);
    expect(new Set(cluster.pids).size).toBe(broker === "redis" ? 2 : 0);
    expect(await sumOn(cluster)).toBe(9);
    expect(await Promise.all([sumOn(cluster), sumOn(cluster), sumOn(cluster)])).toEqual([9, 9, 9]);
    expect(cluster.workers).toBe(2);
    await cluster.close();
    expect(cluster.workers).toBe(0);
  });

  test("a runner starts a cluster that is not started, and never closes it", async () => {
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    const runner = new DistributedTaskRunner({ cluster });
    const both = await Promise.all([sum.withOptions({ taskRunner: runner })(), sumOn(() => cluster)]);
    expect([...both, await sumOn(async () => cluster)]).toEqual([9, 9, 9]);
    expect(cluster.workers).toBe(1);
  });

  test("workers come and go while a flow runs", async () => {
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const names = ["a", "b", "c", "d", "e", "f"];
    const holding = flow({ name: "holding", taskRunner }, () =>
      tasks.occupy.map(unmapped(gate.directory), names).results(),
    );
    const run = holding.start();
    await gate.waitFor("the only thread holds a task", (starts) => starts.length === 1);
    await cluster.scale(3);
    expect(cluster.workers).toBe(3);
    await gate.waitFor("three threads hold a task each", (starts) => starts.length >= 3);
    const shrinking = cluster.scale(1);
    await gate.open();
    await shrinking;
    expect(cluster.workers).toBe(1);
    expect((await run.result()).map(({ name }) => name)).toEqual(names);
    expect(await sumOn(cluster)).toBe(9);
  });

  test("calls wait for a cluster without workers until it has some", async () => {
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    await cluster.scale(0);
    expect(cluster.workers).toBe(0);
    const waiting = sumOn(cluster);
    await cluster.scale(1);
    expect(await waiting).toBe(9);
  });

  test("calls that await something share their thread, as many as callsPerThread says", async () => {
    const companyWith = async (callsPerThread?: number) => {
      const limit = callsPerThread === undefined ? {} : { callsPerThread };
      await using cluster = new LocalCluster({ ...options, ...limit, workers: 1 });
      const taskRunner = new DistributedTaskRunner({ cluster });
      const body = () => Promise.all(Array.from({ length: 12 }, () => tasks.company()));
      return Math.max(...(await flow({ name: "company", taskRunner }, body)()));
    };
    expect(await companyWith(1)).toBe(1);
    expect(await companyWith(3)).toBe(3);
    expect(await companyWith()).toBeGreaterThan(3);
  });

  test("waitForWorkers waits until there are as many", async () => {
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    const waiting = cluster.waitForWorkers(2);
    await cluster.start();
    await cluster.scale(2);
    await waiting;
    expect(cluster.workers).toBe(2);
  });

  test("close is safe to call twice, before the start, and during it", async () => {
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    cluster.start().catch(() => {});
    await Promise.all([cluster.close(), cluster.close()]);
    await cluster.close();
    expect(cluster.workers).toBe(0);
    const unused = new LocalCluster(options);
    await unused.close();
    await expect(unused.start()).rejects.toThrow(WorkerStartError);
    await expect(unused.scale(1)).rejects.toThrow("Expected an open local cluster, got one that is closed.");
  });

  test("a flow on a closed cluster crashes with an error that says so", async () => {
    const cluster = await new LocalCluster({ ...options, workers: 1 }).start();
    await cluster.close();
    const taskRunner = new DistributedTaskRunner({ cluster });
    const state = await sum.withOptions({ taskRunner }).start().wait();
    expect(state).toMatchObject({ type: "CRASHED", data: { code: "ERR_WORKER_START" } });
  });

  test("a cluster that is closed under a running flow ends its runs with an error", async () => {
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({ ...options, workers: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster, noWorkersTimeoutSeconds: 0.1 });
    const run = flow({ name: "left", taskRunner }, () => tasks.hold(gate.directory, "a")).start();
    await gate.waitFor("the task runs", (starts) => starts.length === 1);
    await cluster.close();
    expect(await run.wait()).toMatchObject({
      type: expect.stringMatching(/FAILED|CRASHED/),
      data: expect.any(Error),
    });
  });

  test("ten flow runs at once share one temporary cluster, which is closed after the last", async () => {
    const taskRunner = () => new DistributedTaskRunner({ cluster: { ...options, workers: 1 } });
    const where = flow({ name: "where" }, async () => await tasks.place());
    const places = await Promise.all(
      Array.from({ length: 10 }, () => where.withOptions({ taskRunner: taskRunner() })()),
    );
    expect(new Set(places.map(({ pid, threadId }) => `${pid}.${threadId}`)).size).toBe(1);
  });
});

describe("a cluster that cannot be", () => {
  test("waitForWorkers gives up with an error that says what to do", async () => {
    await using cluster = await new LocalCluster({ broker: "memory", workers: 1, threads: 1 }).start();
    const error = await cluster.waitForWorkers(2, 0.05).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkerStartError);
    expect(error).toMatchObject({
      message: "Expected 2 workers within 0.05 s, got 1. Ask for them with scale(2).",
    });
  });

  test("its Redis does not answer", async () => {
    const url = `redis://127.0.0.1:${await findFreePort()}`;
    await using cluster = new LocalCluster({ broker: "redis", redis: url });
    await expect(cluster.start()).rejects.toThrow(BrokerUnavailableError);
    const state = await sum
      .withOptions({ taskRunner: new DistributedTaskRunner({ cluster }) })
      .start()
      .wait();
    expect(state).toMatchObject({ type: "CRASHED", data: { code: "ERR_BROKER_UNAVAILABLE" } });
  });

  test.each([
    { workers: -1 },
    { workers: 0 },
    { threads: 1.5 },
    { callsPerThread: 0 },
    { broker: "kafka" },
    { root: "" },
  ])("%j is refused where it is written", (options) => {
    expect(() => new LocalCluster(options as never)).toThrow(InvalidOptionError);
    expect(() => new DistributedTaskRunner({ cluster: options as never })).toThrow(InvalidOptionError);
  });

  test("a number of workers that is none", () => {
    const cluster = new LocalCluster({ broker: "memory" });
    expect(() => cluster.scale(1.5)).toThrow(InvalidOptionError);
  });
});

test("a cluster has as many threads as the machine has cores, unless told", async () => {
  await using gate = await Gate.make();
  await using cluster = await new LocalCluster({ broker: "memory" }).start();
  const cores = availableParallelism();
  expect(cluster.workers).toBe(Math.ceil(cores / 4));
  const taskRunner = new DistributedTaskRunner({ cluster });
  const run = flow({ name: "cores", taskRunner }, () =>
    tasks.occupy
      .map(
        unmapped(gate.directory),
        Array.from({ length: 2 * cores + 4 }, (_, index) => `${index}`),
      )
      .results(),
  ).start();
  await gate.waitFor("all threads hold a task each", (starts) => starts.length >= cores);
  expect(await gate.started()).toHaveLength(cores * 1);
  await gate.open();
  await run.result();
});

test("a worker process that ends is replaced while the cluster is open", async () => {
  await using cluster = await new LocalCluster({ broker: "redis", redis, workers: 1, threads: 1 }).start();
  const [first] = cluster.pids;
  process.kill(first!, "SIGKILL");
  await until("there is another process", () => cluster.pids.length === 1 && cluster.pids[0] !== first);
  expect(await sumOn(cluster)).toBe(9);
});
