/** Redis is killed in mid-flow and comes back, with its data or without: every flow ends with the right answer. */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { DistributedTaskRunner, flow, LocalCluster, unmapped } from "millrace";
import { afterEach, describe, expect, test, vi } from "vitest";
import * as nesting from "../fixtures/nesting-tasks.ts";
import * as tasks from "../fixtures/tasks.ts";
import * as values from "../fixtures/value-tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { descendantsOf, killPrograms, start, startWorker } from "../support/processes.ts";
import { RestartableRedis } from "../support/restartable-redis.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 30_000 });
keepLogs();
afterEach(killPrograms);

/** A heartbeat counts for 5 s, and who holds batches is looked at every second. */
const HEARTBEAT_AND_MORE_MS = 8_000;

/** To leave a Redis that is away takes 2 s, and the machine may be busy; for each of five queues, it would be 10 s. */
const LEAVING_MS = 6_000;

const NAMES = ["a", "b", "c", "d", "e", "f"];

describe.each([
  ["with its data", false],
  ["empty", true],
])("a Redis that is killed and comes back %s", (_, isEmpty) => {
  test("calls that ran and calls that waited end with the right answer", async () => {
    await using redis = await RestartableRedis.start();
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({ broker: "redis", redis: redis.url, workers: 2, threads: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const run = flow({ name: "restarted", taskRunner }, async () => {
      const held = tasks.hold.map(unmapped(gate.directory), NAMES);
      const lengths = tasks.sum.map(NAMES.map((_, index) => Array.from({ length: index }, () => 1)));
      return [(await held.results()).map(({ name }) => name), await lengths.results()];
    }).start();
    await gate.waitFor("calls run", (starts) => starts.length >= 2);
    await redis.kill();
    await redis.comeBack({ isEmpty });
    await gate.open();
    expect(await run.result()).toEqual([NAMES, [0, 1, 2, 3, 4, 5]]);
  });

  test("a call that waits for calls of its own ends", async () => {
    await using redis = await RestartableRedis.start();
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({ broker: "redis", redis: redis.url, workers: 2, threads: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const run = flow({ name: "nested", taskRunner }, () =>
      nesting.holdMany(gate.directory, ["a", "b", "c"]),
    ).start();
    await gate.waitFor("calls run", (starts) => starts.length >= 1);
    await redis.kill();
    await redis.comeBack({ isEmpty });
    await gate.open();
    await run.result();
  });

  test("large values that were in it are there again", async () => {
    await using redis = await RestartableRedis.start();
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({ broker: "redis", redis: redis.url, workers: 1, threads: 1 });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const bytes = new Uint8Array(300_000).fill(7);
    const run = flow({ name: "large", taskRunner }, async () => {
      const made = values.makeBytes.submit(200_000, 3);
      const bytesThen = await values.lengthPlus(1, bytes);
      await made.wait();
      await tasks.hold(gate.directory, "a");
      return [bytesThen, await values.lastOf(made), await values.lengthPlus(2, bytes)];
    }).start();
    await gate.waitFor("the call runs", (starts) => starts.length >= 1);
    await redis.kill();
    await redis.comeBack({ isEmpty });
    await gate.open();
    expect(await run.result()).toEqual([300_001, 3, 300_002]);
  });
});

/** Starts a worker of one thread. Gives what has tasks run there. */
async function serve(
  redis: RestartableRedis,
  namespace: string,
  redisTimeoutSeconds = 60,
): Promise<DistributedTaskRunner> {
  await startWorker(namespace, "--redis", redis.url, "--threads", "1");
  return new DistributedTaskRunner({ redis: redis.url, namespace, redisTimeoutSeconds });
}

test("one that comes back empty has a call that ran begun anew once", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "once");
  const run = flow({ name: "once", taskRunner }, () => tasks.hold(gate.directory, "a")).start();
  await gate.waitFor("the call runs", (starts) => starts.length === 1);
  await gate.forgetStarts();
  await redis.kill();
  await redis.comeBack({ isEmpty: true });
  await gate.waitFor("it runs again", (starts) => starts.length === 1);
  await gate.forgetStarts();
  await redis.hasRenewed("*:runner-lease:*"); // By the thread that would otherwise find that it is gone.
  await gate.open();
  await run.result();
  expect(await gate.started()).toEqual([]);
});

test("one that stays away ends what waits for it, with the reason, after the set time", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "away", 1);
  const run = flow({ name: "away", taskRunner }, () => tasks.hold(gate.directory, "a")).start();
  await gate.waitFor("the call runs", (starts) => starts.length === 1);
  await redis.kill();
  const state = await run.wait();
  expect(state.data).toMatchObject({ name: "BrokerUnavailableError", code: "ERR_BROKER_UNAVAILABLE" });
  expect((state.data as Error).message).toMatch(/got none for 1 s/);
});

test("one that stays away holds up the end of a flow once, not for each queue that it used", async () => {
  await using redis = await RestartableRedis.start();
  const namespace = "leaving";
  const taskRunner = new DistributedTaskRunner({ redis: redis.url, namespace, redisTimeoutSeconds: 1 });
  const broker = await BullMqBroker.connect({ redisUrl: redis.url, namespace });
  let endedAt = 0;
  const run = flow({ name: "leaving", taskRunner }, async () => {
    const calls = ["a", "b", "c", "d"].map((queue) => tasks.sum.withOptions({ queue }).submit([1]));
    await until("all are in their queues", async () => (await broker.status()).runners.length === 5);
    await broker.close();
    await redis.kill();
    await Promise.all(calls.map((call) => call.wait()));
    endedAt = performance.now();
  }).start();
  await run.wait();
  expect(performance.now() - endedAt).toBeLessThan(LEAVING_MS);
});

test("one that comes back after it was given up serves what is submitted then, and what waited anew", async () => {
  await using redis = await RestartableRedis.start();
  const taskRunner = await serve(redis, "again", 3);
  const ends = await flow({ name: "again", taskRunner }, async () => {
    await tasks.sum([1]);
    await redis.kill();
    const given = await tasks.sum.submit([1, 1]).wait();
    const waits = tasks.sum.submit([1, 1, 1]); // In the moment in which the other is given up.
    await redis.comeBack();
    return [
      given?.type,
      (given?.data as Error | undefined)?.name,
      await waits,
      await tasks.sum([1, 1, 1, 1]),
    ];
  })();
  expect(ends).toEqual(["CRASHED", "BrokerUnavailableError", 3, 4]);
});

test("one that stays away ends what waits for a slot of a limit, as it ends what waits to be sent", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "slots", 1);
  const broker = await BullMqBroker.connect({ redisUrl: redis.url, namespace: "slots" });
  await broker.limits().set("narrow", { slots: 1 });
  const narrow = tasks.hold.withOptions({ tags: ["narrow"] });
  let states: unknown;
  const run = flow({ name: "slots", taskRunner }, async () => {
    const holds = narrow.submit(gate.directory, "holds");
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    const inLine = narrow.submit(gate.directory, "in line");
    await until("one waits", async () => (await broker.limits().inspect())[0]?.waiting === 1);
    await broker.close();
    await redis.kill();
    const comes = narrow.submit(gate.directory, "comes");
    states = await Promise.all([holds, inLine, comes].map((future) => future.wait()));
  }).start();
  await run.wait();
  const end = { type: "CRASHED", data: { name: "BrokerUnavailableError" } };
  expect(states).toMatchObject([end, end, end]);
});

test("one that is full refuses what it is sent, and everything ends when it has room again", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "full");
  const run = flow({ name: "full", taskRunner }, async () => {
    const held = tasks.hold.submit(gate.directory, "a");
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    await redis.setMemoryLimit("1mb"); // It has more already.
    await gate.open();
    const more = tasks.sum.map([[1], [2], [3]]);
    await redis.hasRefused(3);
    await redis.setMemoryLimit("0");
    return [(await held).name, await more.results()];
  });
  expect(await run()).toEqual(["a", [1, 2, 3]]);
});

test("one that is full for longer than a heartbeat lasts takes no worker for dead", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "long-full");
  const run = flow({ name: "long-full", taskRunner }, () => tasks.hold(gate.directory, "a")).start();
  const [start] = await gate.waitFor("the call runs", (starts) => starts.length === 1);
  await gate.forgetStarts();
  await redis.setMemoryLimit("1mb"); // It has more already.
  await delay(HEARTBEAT_AND_MORE_MS);
  await redis.setMemoryLimit("0");
  await gate.open();
  expect(await run.result()).toEqual(start);
  expect(await gate.started()).toEqual([]);
});

test("one that refuses a call for longer than a batch may be missing has it started once", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "refused");
  const run = flow({ name: "refused", taskRunner }, async () => {
    await redis.setMemoryLimit("1mb"); // It has more already.
    const call = tasks.holdOnce.submit(gate.directory, 100);
    await redis.hasRefused(40); // Among them the call, every 200 ms.
    await redis.setMemoryLimit("0");
    await call;
    await tasks.add(1, 1); // Behind all that was put into the queue before.
  });
  await run();
  expect(await readFile(gate.path("journal"), "utf8")).toBe("x");
});

test("one that is full has a cancellation wait, and the call ends when it has room again", async () => {
  await using redis = await RestartableRedis.start();
  await using gate = await Gate.make();
  const taskRunner = await serve(redis, "cancelled");
  const run = flow({ name: "cancelled", taskRunner }, () => tasks.hold(gate.directory, "a")).start();
  await gate.waitFor("the call runs", (starts) => starts.length === 1);
  await redis.setMemoryLimit("1mb"); // It has more already.
  const cancelled = run.cancel();
  await redis.hasRefused(10); // Among them the cancellation, every 200 ms.
  await redis.setMemoryLimit("0");
  expect((await cancelled).type).toBe("CANCELLED");
});

test("the private one of a local cluster that is killed is started again", async () => {
  await using gate = await Gate.make();
  const program = start(process.execPath, [
    "--import",
    "tsx",
    "test/fixtures/private-redis-flow.ts",
    gate.directory,
  ]);
  await gate.waitFor("calls run", (starts) => starts.length >= 1);
  const servers = await descendantsOf(program.pid, "redis-server");
  expect(servers).toHaveLength(1);
  process.kill(servers[0] as number, "SIGKILL");
  await until("another takes its place", async () => {
    const [server] = await descendantsOf(program.pid, "redis-server");
    return server !== undefined && server !== servers[0];
  });
  await gate.open();
  const { code, stdout, stderr } = await program.exited;
  expect(stderr).toMatch(/the private Redis server died and is started again/);
  expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: "a,b,c" });
});
