import { RedisUnsuitableError } from "@millrace/core";
import { Redis } from "ioredis";
import { expect, inject, test } from "vitest";
import { expectNoLeaks } from "../../../../test/support/leaks.ts";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { Wire, type WireLink } from "../../testing/wire.ts";
import { BullMqBroker } from "./bullmq-broker.ts";
import { keysOf } from "./keys.ts";

test("a queue that another major version of BullMQ has made is refused, by runners and workers", async () => {
  const namespace = uniqueNamespace();
  const redis = new Redis(inject("redisUrl"));
  const meta = keysOf(namespace).meta("default");
  await redis.hset(meta, "version", "bullmq:5.34.2");
  const broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  for (const join of [() => TestRunner.join(broker), () => TestWorker.join(broker)]) {
    const error = await join().catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(RedisUnsuitableError);
    expect((error as Error).message).toMatch(/Expected a queue of BullMQ 6 .*, got one of bullmq:5\.34\.2\./);
  }
  await redis.del(meta);
  const runner = await TestRunner.join(broker);
  await runner.link.close();
  await broker.deleteNamespace();
  await broker.close();
  await redis.quit();
});

// An error that nobody handles would fail the run of these tests.
test("a runner whose Redis loses its data while it joins has joined, and has lost nothing", () =>
  expectNoLeaks(async () => {
    const namespace = uniqueNamespace();
    const redis = new Redis(inject("redisUrl"));
    let subscribing: WireLink | undefined;
    let reading: WireLink | undefined;
    let reads = 0;
    await using wire = await Wire.to(inject("redisUrl"), (sent, link) => {
      if (/\bworker-news\b/.test(sent)) {
        subscribing = link;
        return false;
      }
      if (/\bxread\b/i.test(sent)) {
        reading = link;
        reads++;
      }
      return true;
    });
    const broker = await BullMqBroker.connect({ redisUrl: wire.redisUrl, namespace });
    const joining = TestRunner.join(broker);
    await until("it subscribes, and reads its replies", () => subscribing !== undefined && reads === 1);
    await redis.del(await redis.keys(keysOf(namespace).replies("*")));
    reading?.cut();
    // A short one, which finds all that is left, and the next.
    await until("it has made its stream anew, and reads on", () => reads === 3);
    subscribing?.release();
    const runner = await joining;
    expect(runner.lost).toEqual([]);
    await runner.link.close();
    await broker.deleteNamespace();
    await broker.close();
    await redis.quit();
  }));
