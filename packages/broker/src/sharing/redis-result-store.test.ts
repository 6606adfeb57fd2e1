import { expect, inject, onTestFinished, test } from "vitest";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { startPrivateRedis } from "../../../../test/support/private-redis.ts";
import { forgetNamespace } from "../../../../test/support/redis-keys.ts";
import { until } from "../../../../test/support/until.ts";
import { type Keys, keysOf } from "../redis/keys.ts";
import { connectRedis, type Redis } from "../redis/redis-connection.ts";
import { sealOf } from "../redis/seal.ts";
import { RedisResultStore } from "./redis-result-store.ts";

const value = new TextEncoder().encode("value");

interface Setup {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly namespace: string;
  readonly store: RedisResultStore;
}

async function setUp(redisUrl = inject("redisUrl")): Promise<Setup> {
  const namespace = uniqueNamespace();
  const redis = await connectRedis(redisUrl);
  onTestFinished(async () => {
    redis.disconnect();
    if (redisUrl === inject("redisUrl")) await forgetNamespace(namespace);
  });
  const keys = keysOf(namespace);
  return { redis, keys, namespace, store: new RedisResultStore(redis, keys, sealOf(undefined, namespace)) };
}

/** A store whose Redis can be frozen: its socket takes what is sent, and nothing comes back. */
async function setUpFreezable(): Promise<Setup & { freeze(): void; thaw(): void }> {
  const server = await startPrivateRedis();
  onTestFinished(() => server.kill());
  const setup = await setUp(server.url);
  const pid = Number(/^process_id:(\d+)/m.exec(await setup.redis.info("server"))?.[1]);
  return {
    ...setup,
    freeze: () => void process.kill(pid, "SIGSTOP"),
    thaw: () => void process.kill(pid, "SIGCONT"),
  };
}

test("what expires has a time to live in Redis, and what does not has none", async () => {
  const { redis, keys, store } = await setUp();
  await store.write("key", { value, expiresAt: Date.now() + 3_600_000 });
  expect(await redis.pttl(keys.result("key"))).toBeGreaterThan(3_500_000);
  await store.write("key", { value, expiresAt: undefined });
  expect(await redis.pttl(keys.result("key"))).toBe(-1);
  await store.write("key", { value, expiresAt: Date.now() - 1 });
  expect(await redis.exists(keys.result("key"))).toBe(0);
});

test("bytes that are no record are no result", async () => {
  const { redis, keys, store } = await setUp();
  for (const bytes of ["", "short"]) {
    await redis.set(keys.result("key"), bytes);
    expect(await store.read("key")).toBeUndefined();
  }
});

test("a claim has a time to live, and is gone when it is released", async () => {
  const { redis, keys, store } = await setUp();
  const claim = await store.claim("key");
  expect(await redis.pttl(keys.resultClaim("key"))).toBeGreaterThan(0);
  await claim.release();
  expect(await redis.exists(keys.resultClaim("key"))).toBe(0);
});

test("who gives up while Redis does not answer need not wait for it, and leaves no claim", async () => {
  const { redis, keys, store, freeze, thaw } = await setUpFreezable();
  freeze();
  const abort = new AbortController();
  const reason = new Error("cancelled");
  const waiting = store.claim("key", abort.signal);
  abort.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  thaw();
  // Behind what the store has sent on this connection: the claim, which was granted, and its return.
  expect(await redis.exists(keys.resultClaim("key"))).toBe(0);
});

test("a claim that was granted while the connection broke is found to be ours", async () => {
  const { redis, keys, store, freeze, thaw } = await setUpFreezable();
  const other = await connectRedis(`redis://127.0.0.1:${redis.options.port}`);
  onTestFinished(() => other.disconnect());
  freeze();
  const waiting = store.claim("key");
  await new Promise((resolve) => redis.stream.write("", resolve)); // The command has left this process.
  redis.stream.destroy();
  thaw();
  await until("the lost command was done", async () => (await other.exists(keys.resultClaim("key"))) === 1);
  // Who does not know it for its own would now wait for an hour, until it runs out.
  await other.pexpire(keys.resultClaim("key"), 3_600_000);
  const claim = await waiting;
  await claim.release();
});

test("a claim outlives its connection", async () => {
  const { redis, keys, namespace, store } = await setUp();
  const other = await connectRedis(inject("redisUrl"));
  onTestFinished(() => other.disconnect());
  const claim = await store.claim("key");
  const token = await other.get(keys.resultClaim("key"));
  await other.client("KILL", "ID", await redis.client("ID"));
  await store.write("key", { value, expiresAt: undefined });
  expect((await store.read("key"))?.value).toHaveLength(value.length);
  expect(await other.get(keys.resultClaim("key"))).toBe(token);
  await claim.release();
  expect(await other.keys(`*${namespace}*claim*`)).toEqual([]);
});

test("a release does not fail when the connection is closed", async () => {
  const { redis, store } = await setUp();
  const claim = await store.claim("key");
  redis.disconnect();
  await claim.release();
  await claim.release();
});
