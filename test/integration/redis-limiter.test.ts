import { BullMqBroker } from "@millrace/broker/bullmq";
import { afterEach, describe, expect, inject, test } from "vitest";
import { limiterContract } from "../../packages/core/testing/limiter.contract.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { forgetNamespace } from "../support/redis-keys.ts";

type RedisLimiter = Awaited<ReturnType<BullMqBroker["openLimiter"]>>;

const opened: { broker: BullMqBroker; limiter: RedisLimiter }[] = [];
let namespace = uniqueNamespace();

async function open(): Promise<{ broker: BullMqBroker; limiter: RedisLimiter }> {
  const broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  const limiter = await broker.openLimiter();
  opened.push({ broker, limiter });
  return { broker, limiter };
}

afterEach(async () => {
  for (const { limiter, broker } of opened.splice(0)) {
    await limiter.close();
    await broker.close();
  }
  await forgetNamespace(namespace);
  namespace = uniqueNamespace();
});

limiterContract("RedisLimiter", {
  async open(limits, count) {
    const { broker } = await open();
    for (const [name, limit] of Object.entries(limits)) await broker.limits().set(name, limit);
    return Promise.all(Array.from({ length: count }, async () => (await open()).limiter));
  },
});

describe("limits of a namespace", () => {
  const request = { names: ["db"], slots: 1, holder: "run", isRate: false };

  test("are shown with who holds and who waits; raised, they serve who waits", async () => {
    const { broker, limiter } = await open();
    await broker.limits().set("db", { slots: 1 });
    const other = (await open()).limiter;
    const first = await limiter.acquire(request).catch(() => other.acquire(request));
    const second = other.acquire(request);
    while ((await broker.limits().inspect())[0]?.waiting !== 1) await new Promise(setImmediate);
    expect(await broker.limits().inspect()).toEqual([{ name: "db", slots: 1, held: 1, waiting: 1 }]);
    await broker.limits().set("db", { slots: 2 });
    (await second).release();
    first.release();
  });

  test("removed, they let everybody pass", async () => {
    const { broker } = await open();
    await broker.limits().set("db", { slots: 1 });
    const { limiter } = await open();
    const first = await limiter.acquire(request);
    const second = limiter.acquire(request);
    expect(await broker.limits().remove("db")).toBe(true);
    expect(await broker.limits().remove("db")).toBe(false);
    await second;
    first.release();
  });
});
