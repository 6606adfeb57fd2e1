import { describe, expect, test } from "vitest";
import type { BrokerHarness } from "./broker-harness.ts";
import { encoded, sampleReport } from "./samples.ts";

/** The part of the brokers' contract that is about leaving. */
export function describeEndings({ joinRunner, joinWorker }: BrokerHarness): void {
  describe("a runner that leaves", () => {
    test("takes its waiting batches along, and no one else's", async () => {
      const [leaving, staying] = await Promise.all([joinRunner(), joinRunner()]);
      for (let index = 0; index < 3; index++) leaving.send();
      const batch = staying.send();
      await leaving.link.close();
      const worker = await joinWorker();
      expect((await worker.take()).batch.id).toBe(batch.id);
    });

    test("takes along what it sent a moment ago", async () => {
      const [leaving, staying, worker] = await Promise.all([joinRunner(), joinRunner(), joinWorker()]);
      const taken = worker.take();
      leaving.send();
      const left = leaving.link.close();
      await left;
      const batch = staying.send();
      // A broker may have handed over the first batch before it was taken back.
      const ids = [(await taken).batch.id];
      if (ids[0] !== batch.id) ids.push((await worker.take()).batch.id);
      expect(ids.at(-1)).toBe(batch.id);
    });

    test("is deaf to what its batches still have to report, which harms nobody", async () => {
      const [leaving, staying, worker] = await Promise.all([joinRunner(), joinRunner(), joinWorker()]);
      leaving.send();
      const delivery = await worker.take();
      await leaving.link.close();
      delivery.report(sampleReport(delivery.batch.id));
      delivery.finish();
      const batch = staying.send();
      await worker.serveOne();
      await staying.until(() => staying.reports.length === 1);
      expect(staying.reports[0]!.batchId).toBe(batch.id);
      expect(leaving.reports).toEqual([]);
    });

    test("hears of no worker any more", async () => {
      const [runner, witness] = await Promise.all([joinRunner(), joinRunner()]);
      await runner.link.close();
      const heard = runner.capacities.length;
      await joinWorker();
      await witness.until(() => witness.capacities.at(-1)?.workers === 1);
      expect(runner.capacities).toHaveLength(heard);
    });

    test("may leave twice", async () => {
      const runner = await joinRunner();
      await Promise.all([runner.link.close(), runner.link.close()]);
      await runner.link.close();
    });
  });

  describe("a worker that leaves", () => {
    test("loses what it has not finished, exactly that", async () => {
      const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
      const sent = Array.from({ length: 5 }, () => runner.send().id);
      await worker.serveOne();
      await worker.serveOne();
      const begun = await worker.take();
      begun.report(encoded({ batchId: begun.batch.id, outcomes: [], logs: "begun\n" }));
      await worker.take();
      await runner.until(() => runner.reports.length === 3);

      await worker.link.close();
      await runner.until(() => runner.lost.length === 2);
      for (const { reason } of runner.lost)
        expect(reason).toMatch(new RegExp(`^Worker ${worker.workerId} .+\\.$`));
      expect(runner.lostIds).toEqual(sent.slice(2, 4).sort());

      const next = await joinWorker();
      expect((await next.serveOne()).id).toBe(sent[4]);
      expect(runner.lost).toHaveLength(2);
    });

    test("loses nothing that it finished a moment ago", async () => {
      const [runner, witness] = await Promise.all([joinRunner(), joinRunner()]);
      const sent = Array.from({ length: 20 }, () => runner.send().id);
      for (const _ of sent) {
        const worker = await joinWorker();
        await worker.serveOne();
        await worker.link.close();
      }
      await runner.until(() => runner.reports.length === sent.length);
      await witness.until(() => witness.capacities.at(-1)?.workers === 0);
      expect(runner.reports.map(({ batchId }) => batchId)).toEqual(sent);
      expect(runner.lost).toEqual([]);
    });

    test("wakes its waiting take, and takes no more", async () => {
      const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
      const waiting = worker.link.take();
      worker.link.stopTaking();
      expect(await waiting).toBeUndefined();
      runner.send();
      expect(await worker.link.take()).toBeUndefined();
    });

    test("can report and finish what it took before it stopped taking", async () => {
      const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
      const batch = runner.send();
      const delivery = await worker.take();
      worker.link.stopTaking();
      delivery.report(sampleReport(batch.id));
      delivery.finish();
      await runner.until(() => runner.reports.length === 1);
      await worker.link.close();
      expect(runner.lost).toEqual([]);
    });

    test("may leave twice", async () => {
      const worker = await joinWorker();
      worker.link.stopTaking();
      await Promise.all([worker.link.close(), worker.link.close()]);
      await worker.link.close();
    });
  });
}
