import { expect, inject, test } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { startPrivateRedis } from "../../../../test/support/private-redis.ts";
import { until } from "../../../../test/support/until.ts";
import { Wire, type WireLink } from "../../testing/wire.ts";
import { AwayWatch } from "./away-watch.ts";
import { connectRedis, type Redis } from "./redis-connection.ts";

const cleanups = useCleanups();

/** Less than the second after which a connection is tried again, so that the patience ends between two tries. */
const PATIENCE_MS = 500;

async function watched(redisUrl: string): Promise<{ redis: Redis; timesAway: () => number }> {
  const redis = await connectRedis(redisUrl);
  let times = 0;
  const watch = new AwayWatch(redis, PATIENCE_MS, () => times++);
  cleanups.push(() => {
    watch.stop();
    redis.disconnect();
  });
  return { redis, timesAway: () => times };
}

test("what waits for a Redis that stays away fails, and the connection goes on trying", async () => {
  const server = await startPrivateRedis();
  const { redis, timesAway } = await watched(server.url);
  await server.kill();
  await expect(redis.get("key")).rejects.toThrow("Redis stayed away.");
  await expect(redis.get("key")).rejects.toThrow("Redis stayed away.");
  expect(timesAway()).toBe(2);
  const successor = await startPrivateRedis("--port", new URL(server.url).port);
  cleanups.push(() => successor.kill());
  await until("it is used again", () => redis.status === "ready");
  expect(await redis.get("key")).toBeNull();
});

test("what was under way when the connection was cut fails as well, where the next one is taken but not answered", async () => {
  const links: WireLink[] = [];
  let isSilent = false;
  const wire = await Wire.to(inject("redisUrl"), (sent, link) => {
    if (!isSilent && !sent.includes("under-way")) return true;
    isSilent = true;
    links.push(link);
    return false;
  });
  cleanups.push(() => wire[Symbol.asyncDispose]());
  const { redis } = await watched(wire.redisUrl);
  const underWay = expect(redis.get("under-way")).rejects.toThrow("Redis stayed away.");
  await until("it is asked", () => links.length === 1);
  links[0]?.cut();
  await until("another connection waits for its answer", () => links.length === 2);
  await underWay;
  expect(redis.status).toBe("connect");
  isSilent = false;
  links[1]?.release();
  await until("it is used again", () => redis.status === "ready");
  expect(await redis.ping()).toBe("PONG");
});
