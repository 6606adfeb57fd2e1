/** Limits in Redis when something dies: who holds, who waits, or Redis itself. */
import { keysOf } from "@millrace/broker";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { Redis } from "ioredis";
import { afterEach, expect, inject, test, vi } from "vitest";
import { uniqueNamespace } from "../support/namespace.ts";
import { startPrivateRedis } from "../support/private-redis.ts";
import { killPrograms, start } from "../support/processes.ts";
import { forgetNamespace } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 60_000 });

/** HOLD_TTL_MS of the broker, the second in which those in front look again, and what a busy machine may add. */
const FREE_AGAIN_MS = 10_000 + 1_000 + 3_000;

const cleanups: (() => unknown)[] = [];
let namespace = uniqueNamespace();

afterEach(async () => {
  await killPrograms();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await forgetNamespace(namespace);
  namespace = uniqueNamespace();
});

async function open(redisUrl = inject("redisUrl")) {
  const broker = await BullMqBroker.connect({ redisUrl, namespace });
  const limiter = await broker.openLimiter();
  cleanups.push(async () => {
    await limiter.close();
    await broker.close();
  });
  const use = async (name: string) => (await broker.limits().inspect()).find((limit) => limit.name === name);
  return { limiter, limits: broker.limits(), use };
}

async function setLimits(limits: Record<string, number>): Promise<void> {
  const { limits: settings } = await open();
  for (const [name, slots] of Object.entries(limits)) await settings.set(name, { slots });
}

function request(...names: string[]) {
  return { names, slots: 1, holder: "run", isRate: false };
}

/** Takes a slot of `db`, says so, and waits for one of `api`. */
const CHILD = `
  import { BullMqBroker } from "@millrace/broker/bullmq";
  const [redisUrl, namespace] = process.argv.slice(1);
  const broker = await BullMqBroker.connect({ redisUrl, namespace });
  const limiter = await broker.openLimiter();
  const request = { slots: 1, holder: "child", isRate: false };
  await limiter.acquire({ ...request, names: ["db"] });
  console.log("holds");
  await limiter.acquire({ ...request, names: ["api"] });
`;

test("of a process that is killed, the slots come free and the place in a line goes", async () => {
  await setLimits({ db: 1, api: 1 });
  const { limiter, use } = await open();
  const holdsApi = await limiter.acquire(request("api"));
  const child = start(process.execPath, [
    "--input-type=module",
    "--eval",
    CHILD,
    inject("redisUrl"),
    namespace,
  ]);
  await until("the child holds", () => child.output.stdout.includes("holds"));
  await until("the child waits", async () => (await use("api"))?.waiting === 1);
  const behindHolder = limiter.acquire(request("db"));
  const behindWaiter = limiter.acquire(request("api"));
  await until("both wait", async () => (await use("api"))?.waiting === 2 && (await use("db"))?.waiting === 1);

  child.child.kill("SIGKILL");
  await child.exited;
  const killedAt = performance.now();
  holdsApi.release();
  const served = await Promise.all([behindHolder, behindWaiter]);
  expect(performance.now() - killedAt).toBeLessThan(FREE_AGAIN_MS);
  expect([await use("db"), await use("api")]).toMatchObject([
    { held: 1, waiting: 0 },
    { held: 1, waiting: 0 },
  ]);
  for (const slots of served) slots.release();
});

test("a Redis that goes away is waited for, and come back empty, it learns what is held", async () => {
  const redis = await startPrivateRedis();
  let isUp = true;
  cleanups.push(async () => {
    if (isUp) await redis.kill();
  });
  const { limiter, limits, use } = await open(redis.url);
  await limits.set("db", { slots: 1 });
  await until("the limit is known", () => limiter.isLimited("db"));
  const held = await limiter.acquire(request("db"));
  await redis.kill();
  isUp = false;

  const abort = new AbortController();
  const outcomes: string[] = [];
  const gaveUp = limiter
    .acquire({ ...request("db"), signal: abort.signal })
    .catch(() => outcomes.push("gave up"));
  await new Promise(setImmediate);
  expect(outcomes).toEqual([]);
  abort.abort(new Error("cancelled"));
  await gaveUp;
  expect(outcomes).toEqual(["gave up"]);

  const again = await startPrivateRedis("--port", new URL(redis.url).port);
  cleanups.push(() => again.kill());
  await limits.set("db", { slots: 1 });
  await until("the holder is counted", async () => (await use("db"))?.held === 1);
  await until("the limit is known again", () => limiter.isLimited("db"));
  const next = limiter.acquire(request("db"));
  await until("the next one waits", async () => (await use("db"))?.waiting === 1);
  held.release();
  (await next).release();
});

/** What other processes do to one that slept past its leases. */
async function withRedis(body: (redis: Redis, state: string) => Promise<unknown>): Promise<void> {
  const redis = new Redis(inject("redisUrl"));
  try {
    await body(redis, keysOf(namespace).limitState);
  } finally {
    redis.disconnect();
  }
}

test("a holder that was taken for dead is counted again", async () => {
  await setLimits({ db: 1 });
  const { limiter, use } = await open();
  const held = await limiter.acquire(request("db"));
  await withRedis((redis, state) => redis.del(`${state}:holders:db`, `${state}:slots:db`));
  expect(await use("db")).toMatchObject({ held: 0 });
  await until("it is counted", async () => (await use("db"))?.held === 1);
  held.release();
  await until("it is no longer", async () => (await use("db"))?.held === 0);
});

test("a waiter that was taken for dead in one of its lines comes back to its place, so that nobody waits in a ring", async () => {
  await setLimits({ a: 1, b: 1 });
  const [one, other] = await Promise.all([open(), open()]);
  const holder = await one.limiter.acquire(request("a", "b"));
  const first = one.limiter.acquire(request("a", "b"));
  await until("the first waits", async () => (await one.use("b"))?.waiting === 1);
  const second = other.limiter.acquire(request("a", "b"));
  await until("the second waits", async () => (await one.use("b"))?.waiting === 2);
  await withRedis(async (redis, state) => {
    const [token] = (await redis.zrange(`${state}:line:a`, "0", "0")) as [string];
    await redis.zrem(`${state}:line:a`, token);
    await redis.zrem(`${state}:waiters`, token);
  });
  holder.release();
  const release = async (slots: typeof first) => (await slots).release();
  await Promise.all([release(first), release(second)]);
});

test("what all who died leave goes in time: every key but the limits themselves has an end", async () => {
  await setLimits({ db: 1 });
  const { limits, limiter, use } = await open();
  await limits.set("api", { slots: 1, slotDecayPerSecond: 0.1 });
  await until("the limits are known", () => limiter.isLimited("api"));
  await limiter.acquire({ ...request("api"), isRate: true });
  const held = await limiter.acquire(request("db"));
  const waiting = limiter.acquire(request("db"));
  await until("one waits", async () => (await use("db"))?.waiting === 1);
  await withRedis(async (redis) => {
    const keys = await redis.keys(`${keysOf(namespace).prefix}*`);
    expect(keys.length).toBeGreaterThan(5);
    for (const key of keys)
      expect([key, (await redis.ttl(key)) > 0]).toEqual([key, !key.endsWith(":limits")]);
  });
  held.release();
  (await waiting).release();
});
