import { Redis } from "ioredis";
import { describe, expect, inject, test, vi } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { TestRunner, TestWorker } from "../../testing/parties.ts";
import { sampleReport } from "../../testing/samples.ts";
import { Wire, type WireLink } from "../../testing/wire.ts";
import { LEASE_MS } from "../intervals.ts";
import { BullMqBroker } from "./bullmq-broker.ts";
import { keysOf } from "./keys.ts";
import { StreamReader } from "./stream-reader.ts";

const cleanups = useCleanups();

/** A runner and a worker, one of them behind the wire. */
async function join(
  wire: Wire,
  behind: "runner" | "worker",
  { workerId = "a worker", patienceSeconds = 60 } = {},
) {
  const namespace = uniqueNamespace();
  const wired = await BullMqBroker.connect({ redisUrl: wire.redisUrl, namespace, patienceSeconds });
  const direct = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  const runner = await TestRunner.join(behind === "runner" ? wired : direct);
  const worker = await TestWorker.join(behind === "worker" ? wired : direct, 2, workerId);
  cleanups.push(async () => {
    await worker.link.close();
    await runner.link.close();
    await wired.close();
    await direct.deleteNamespace();
    await direct.close();
    await wire[Symbol.asyncDispose]();
  });
  return { namespace, runner, worker };
}

/** The piece in which a worker asks for the next job, which is its token and BullMQ's script. */
const TAKES = /evalsha[\s\S]*:default:active[\s\S]*\bthe-worker\b/i;

test("a batch that a worker was given with an answer that it never heard is sent again long before the lease ends", async () => {
  let isArmed = false;
  let cuts = 0;
  const wire = await Wire.to(inject("redisUrl"), (sent, link) => {
    if (isArmed && TAKES.test(sent)) {
      isArmed = false;
      cuts++;
      link.cut(); // It still passes, and nobody hears what Redis says to it.
    }
    return true;
  });
  const { runner, worker } = await join(wire, "worker", { workerId: "the-worker" });

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

/** The piece in which a runner puts a batch into the queue. */
const ADDS = /\{"batch":/;

/** A runner behind a wire, and a worker beside it. */
async function onCutWire(onAdd: (link: WireLink) => "passes" | "is lost", patienceSeconds?: number) {
  let isArmed = false;
  let reading: WireLink | undefined;
  const wire = await Wire.to(inject("redisUrl"), (sent, link) => {
    if (/\bxread\b/i.test(sent)) reading = link;
    if (!isArmed || !ADDS.test(sent)) return true;
    isArmed = false;
    return onAdd(link) === "passes";
  });
  const { namespace, runner, worker } = await join(wire, "runner", { patienceSeconds });
  return {
    ...{ namespace, runner, worker },
    /** The connection on which the runner reads what is reported. */
    cutReading: () => reading?.cut(),
    arm: () => {
      isArmed = true;
    },
    /** Nothing of the batch is under way any more. */
    settled: (batchId: string) =>
      until("nothing of it is on its way", async () => {
        const looked = await runner.link.locate([batchId]);
        return "places" in looked && looked.places.get(batchId)?.type !== "sent";
      }),
  };
}

describe("a batch whose connection is cut while it is put into the queue", () => {
  test.each([
    ["", 0],
    [", also when Redis refuses the first look", 1],
  ])("is not put there again when a worker has ended it%s", async (_, refusals) => {
    const looks = vi.spyOn(StreamReader.prototype, "caughtUp");
    for (let n = 0; n < refusals; n++) looks.mockRejectedValueOnce(new Error("LOADING"));
    const ends: Promise<unknown>[] = [];
    const { runner, worker, arm, settled } = await onCutWire((link) => {
      ends.push(worker.serveOne());
      link.cut();
      return "passes";
    });
    arm();
    const batch = runner.send();
    await runner.until(() => runner.reports.length > 0);
    expect(ends).toHaveLength(1);
    await settled(batch.id);
    expect(looks).toHaveBeenCalledTimes(1 + refusals);
    looks.mockRestore();
    // What comes next is the next batch, and not this one again.
    const next = runner.send();
    expect((await worker.serveOne()).id).toBe(next.id);
    expect(runner.lost).toEqual([]);
  });

  test("is not put there again when a worker has it", async () => {
    const { runner, worker, arm, settled } = await onCutWire((link) => {
      link.cut();
      return "passes";
    });
    arm();
    const batch = runner.send();
    const delivery = await worker.take();
    expect(delivery.batch.id).toBe(batch.id);
    await settled(batch.id);
    delivery.report(sampleReport(batch.id));
    delivery.finish();
    await runner.until(() => runner.reports.length > 0);
    const next = runner.send();
    expect((await worker.serveOne()).id).toBe(next.id);
    expect(runner.lost).toEqual([]);
  });

  test("is put there again when it never arrived", async () => {
    const { runner, worker, arm } = await onCutWire((link) => {
      link.cut();
      return "is lost";
    });
    arm();
    const batch = runner.send();
    expect((await worker.serveOne()).id).toBe(batch.id);
    await runner.until(() => runner.reports.length > 0);
    expect(runner.lost).toEqual([]);
  });

  test("is put there again also when that was noticed later than Redis is waited for", async () => {
    const { runner, worker, arm } = await onCutWire((link) => {
      setTimeout(() => link.cut(), 1_500);
      return "is lost";
    }, 1);
    arm();
    const batch = runner.send();
    expect((await worker.serveOne()).id).toBe(batch.id);
    await runner.until(() => runner.reports.length > 0);
    expect([runner.lost, runner.unavailable]).toEqual([[], []]);
  });

  test("is lost when Redis has lost what was sent, and not put there again beside", async () => {
    const redis = new Redis(inject("redisUrl"));
    const { namespace, runner, worker, arm, cutReading } = await onCutWire((link) => {
      void redis.del(keysOf(namespace).replies(runner.link.runnerId)).then(() => {
        link.cut();
        cutReading();
      });
      return "is lost";
    });
    arm();
    const batch = runner.send();
    await runner.until(() => runner.lost.length > 0);
    expect(runner.lostIds).toEqual([batch.id]);
    // What comes next is the next batch, and not this one.
    const next = runner.send();
    expect((await worker.serveOne()).id).toBe(next.id);
    await redis.quit();
  });
});
