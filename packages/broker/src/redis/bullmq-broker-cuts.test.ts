import { expect, inject, test } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { sampleReport } from "../../testing/samples.ts";
import { Wire } from "../../testing/wire.ts";
import { LEASE_MS } from "../intervals.ts";
import { BullMqBroker } from "./bullmq-broker.ts";

const cleanups = useCleanups();

/** The piece in which a worker asks for the next job, which is its token and BullMQ's script. */
const TAKES = /evalsha[\s\S]*:default:active[\s\S]*\bthe-worker\b/i;

test("a batch that a worker was given with an answer that it never heard is sent again long before the lease ends", async () => {
  const namespace = uniqueNamespace();
  const redisUrl = inject("redisUrl");
  const forRunner = await BullMqBroker.connect({ redisUrl, namespace });
  let isArmed = false;
  let cuts = 0;
  const wire = await Wire.to(redisUrl, (sent, link) => {
    if (isArmed && TAKES.test(sent)) {
      isArmed = false;
      cuts++;
      link.cut(); // It still passes, and nobody hears what Redis says to it.
    }
    return true;
  });
  const forWorker = await BullMqBroker.connect({ redisUrl: wire.redisUrl, namespace });
  const runner = await TestRunner.join(forRunner);
  const worker = await TestWorker.join(forWorker, 2, "the-worker");
  cleanups.push(async () => {
    await worker.link.close();
    await runner.link.close();
    await forWorker.close();
    await forRunner.deleteNamespace();
    await forRunner.close();
    await wire[Symbol.asyncDispose]();
  });

  const held = runner.send();
  const delivery = await worker.take();
  const next = worker.take();
  isArmed = true;
  const sentAt = performance.now();
  const unheard = runner.send();
  await runner.until(() => runner.lost.length > 0);
  expect(cuts).toBe(1);
  expect(performance.now() - sentAt).toBeLessThan((2 * LEASE_MS) / 3);
  expect(runner.lost).toEqual([
    { batchId: unheard.id, reason: "The lease on the batch ran out.", hasWorkerDied: false },
  ]);
  const again = runner.send();
  expect((await next)?.batch.id).toBe(again.id);
  delivery.report(sampleReport(held.id));
  delivery.finish();
  await runner.until(() => runner.reports.length > 0);
  expect(runner.reports.map(({ batchId }) => batchId)).toEqual([held.id]);
});
