import { describe, expect, test } from "vitest";
import type { BrokerHarness } from "./broker-harness.ts";
import { ALL_BYTES, encoded, sampleReport } from "./samples.ts";

/** The part of the brokers' contract that is about what a runner says of batches that it has sent. */
export function describeMessages({ joinRunner, joinWorker }: BrokerHarness): void {
  describe("a batch that is to hand back calls", () => {
    test("has its worker told, and no other", async () => {
      const [runner, worker, other] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
      runner.send();
      const delivery = await worker.take();
      runner.link.handBack(delivery.batch.id);
      await worker.until(() => worker.handBacks.length === 1);
      expect([worker.handBacks, other.handBacks]).toEqual([[delivery.batch.id], []]);
      delivery.report(sampleReport(delivery.batch.id, { kind: "unstarted" }));
      delivery.finish();
      await runner.until(() => runner.reports.length === 1);
    });

    test("is left alone when no worker has it", async () => {
      const runner = await joinRunner();
      const batch = runner.send();
      runner.link.handBack(batch.id);
      const worker = await joinWorker();
      expect((await worker.serveOne()).id).toBe(batch.id);
      await runner.until(() => runner.reports.length === 1);
      expect([worker.handBacks, runner.withdrawn, runner.lost]).toEqual([[], [], []]);
    });
  });

  describe("a batch of which calls are cancelled", () => {
    test("is taken out of the queue when no worker has it, and no one gets it", async () => {
      const runner = await joinRunner();
      const [first, second, third] = [runner.send(), runner.send(), runner.send()];
      runner.cancel(second!.id, 0);
      await runner.until(() => runner.withdrawn.length === 1);
      const worker = await joinWorker();
      expect([(await worker.serveOne()).id, (await worker.serveOne()).id]).toEqual([first!.id, third!.id]);
      await runner.until(() => runner.reports.length === 2);
      expect([runner.withdrawn, runner.lost, worker.cancelled]).toEqual([[second!.id], [], []]);
    });

    test("is withdrawn once, however often and soon it is asked for", async () => {
      const runner = await joinRunner();
      const batch = runner.send();
      for (let time = 0; time < 3; time++) runner.cancel(batch.id, 0);
      const last = runner.send();
      runner.cancel(last.id, 0);
      await runner.until(() => runner.withdrawn.includes(last.id));
      expect(runner.withdrawn.sort()).toEqual([batch.id, last.id].sort());
    });

    test("stays with the worker that has it, which is told, and no other", async () => {
      const [runner, worker, other] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
      runner.send();
      const delivery = await worker.take();
      runner.cancel(delivery.batch.id, 0, 4);
      await worker.until(() => worker.cancelled.length === 1);
      expect(worker.cancelled).toEqual([{ batchId: delivery.batch.id, sequences: [0, 4] }]);
      expect(other.cancelled).toEqual([]);
      delivery.report(sampleReport(delivery.batch.id, { kind: "cancelled" }));
      delivery.finish();
      await runner.until(() => runner.reports.length === 1);
      expect([runner.withdrawn, runner.lost]).toEqual([[], []]);
    });

    test("is left alone once it is finished, also before its runner knows", async () => {
      const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
      const finished = runner.send();
      const delivery = await worker.take();
      // Nothing that makes the runner let go of the batch.
      delivery.report(encoded({ batchId: finished.id, outcomes: [], logs: "nearly there\n" }));
      delivery.finish();
      await worker.link.close(); // Which waits until it is finished.
      runner.cancel(finished.id, 0);
      const next = runner.send();
      runner.cancel(next.id, 0);
      await runner.until(() => runner.withdrawn.includes(next.id));
      expect([runner.withdrawn, worker.cancelled]).toEqual([[next.id], []]);
      runner.link.release(finished.id);
    });

    test("whose worker has left counts as lost, and nothing else happens", async () => {
      const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
      const batch = runner.send();
      await worker.take();
      await worker.link.close();
      runner.cancel(batch.id, 0);
      await runner.until(() => runner.lost.length === 1);
      expect([runner.lostIds, runner.withdrawn, worker.cancelled]).toEqual([[batch.id], [], []]);
    });
  });

  describe("an answer", () => {
    test("reaches the worker that is named, whole and in order", async () => {
      const [runner, worker, other] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
      const batch = runner.send();
      const answers = [1, 2, 3].map((id) => ({
        ...{ batchId: batch.id, sequence: 7, id },
        body: id === 2 ? new Uint8Array() : ALL_BYTES,
      }));
      for (const answer of answers) runner.link.answer(worker.workerId, answer);
      await worker.until(() => worker.answers.length === answers.length);
      const seen = worker.answers.map(({ batchId, sequence, id, body }) => {
        return { batchId, sequence, id, body: new Uint8Array(body) };
      });
      expect(seen).toEqual(answers);
      expect(other.answers).toEqual([]);
    });

    test("to a worker that has left, or that there never was, is lost, and leaves nothing", async () => {
      const [runner, gone, worker] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
      await gone.link.close();
      const answer = { batchId: runner.send().id, sequence: 0, id: 1, body: ALL_BYTES };
      for (const workerId of [gone.workerId, "nobody", worker.workerId]) runner.link.answer(workerId, answer);
      await worker.until(() => worker.answers.length === 1);
      expect(gone.answers).toEqual([]);
    });
  });
}
