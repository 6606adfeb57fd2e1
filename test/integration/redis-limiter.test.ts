import { BullMqBroker } from "@millrace/broker/bullmq";
import { afterEach, describe, expect, inject, test } from "vitest";
import { limiterContract } from "../../packages/core/testing/limiter.contract.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { forgetNamespace } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

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

  test("lowered, they take nothing from anybody, and serve again when there is room", async () => {
    const { broker } = await open();
    await broker.limits().set("db", { slots: 2 });
    const { limiter } = await open();
    const order: string[] = [];
    const held = [await limiter.acquire(request), await limiter.acquire(request)] as const;
    await broker.limits().set("db", { slots: 1 });
    expect(await broker.limits().inspect()).toMatchObject([{ slots: 1, held: 2 }]);
    const waiting = limiter.acquire(request).then((slots) => {
      order.push("served");
      slots.release();
    });
    await until("it waits", async () => (await broker.limits().inspect())[0]?.waiting === 1);
    held[0].release();
    await until("one is free", async () => (await broker.limits().inspect())[0]?.held === 1);
    order.push("the second is released");
    held[1].release();
    await waiting;
    expect(order).toEqual(["the second is released", "served"]);
  });

  /** Less than it takes to be found dead. */
  const SOON_MS = 5_000;

  test("lowered below what somebody waits for, they refuse it, and those behind need not wait", async () => {
    const { broker } = await open();
    await broker.limits().set("db", { slots: 3 });
    const { limiter } = await open();
    const held = await limiter.acquire(request);
    const refused = limiter.acquire({ ...request, slots: 3 });
    const behind = limiter.acquire(request);
    await until("both wait", async () => (await broker.limits().inspect())[0]?.waiting === 2);
    const startedAt = performance.now();
    await broker.limits().set("db", { slots: 2 });
    await expect(refused).rejects.toThrow(/at most 2 slots of limit "db".*got 3/);
    (await behind).release();
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
    held.release();
  });

  test("are left by a limiter that is closed: what it held, and its place in a line", async () => {
    const { broker } = await open();
    await broker.limits().set("db", { slots: 2 });
    const { limiter } = await open();
    const other = (await open()).limiter;
    await limiter.acquire(request);
    const waiting = limiter.acquire({ ...request, slots: 2 });
    const behind = other.acquire({ ...request, slots: 2 });
    await until("both wait", async () => (await broker.limits().inspect())[0]?.waiting === 2);
    const startedAt = performance.now();
    const refused = expect(waiting).rejects.toMatchObject({ code: "ERR_CANCELLED_RUN" });
    await limiter.close();
    await refused;
    await expect(limiter.acquire(request)).rejects.toMatchObject({ code: "ERR_CANCELLED_RUN" });
    (await behind).release();
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
  });

  test("are known to limiters at work as soon as they are set or removed", async () => {
    const { broker, limiter } = await open();
    await broker.limits().set("later", { slots: 1 });
    await until("it is known", () => limiter.isLimited("later"));
    await broker.limits().remove("later");
    await until("it is forgotten", () => !limiter.isLimited("later"));
  });

  test("count what a rate has used until it has come back", async () => {
    const { broker } = await open();
    await broker.limits().set("db", { slots: 3, slotDecayPerSecond: 0.01 });
    const { limiter } = await open();
    await limiter.acquire({ ...request, slots: 2, isRate: true });
    expect(await broker.limits().inspect()).toMatchObject([{ held: 2, waiting: 0 }]);
    (await limiter.acquire(request)).release();
  });
});
