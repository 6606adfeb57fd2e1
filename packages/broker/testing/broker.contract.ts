import { describe, expect, test } from "vitest";
import { collectGarbage } from "../../../test/support/collect-garbage.ts";
import { until } from "../../../test/support/until.ts";
import { type Batch, encodeBatch } from "../src/wire/batch.ts";
import { inSharedMemory } from "../src/wire/call-values.ts";
import { encodeReport } from "../src/wire/report.ts";
import { describeEndings } from "./broker-endings.contract.ts";
import { type BrokerSetup, useBroker } from "./broker-harness.ts";
import { describeMessages } from "./broker-messages.contract.ts";
import { ALL_BYTES, encoded, sampleReport } from "./samples.ts";

const MEGABYTE = 1024 * 1024;

/** What every broker keeps to, whatever is behind it. */
export function brokerContract(name: string, setUp: () => Promise<BrokerSetup>): void {
  describe(`${name} keeps the contract of brokers:`, () => {
    const { joinRunner, joinWorker } = useBroker(setUp);

    describe("a batch", () => {
      test("reaches one of the workers that wait, and no other", async () => {
        const [runner, one, other] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
        const taken = [one, other].map(async ({ link }) => (await link.take())?.batch.id);
        const batch = runner.send();
        const first = await Promise.race(taken);
        for (const { link } of [one, other]) link.stopTaking();
        expect(first).toBe(batch.id);
        expect((await Promise.all(taken)).sort()).toEqual([batch.id, undefined]);
      });

      test("arrives as it was sent, byte for byte", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        const batch = runner.send(ALL_BYTES);
        const { batch: arrived } = await worker.take();
        expect(Buffer.compare(encodeBatch(arrived), encodeBatch(batch))).toBe(0);
        expect(new Uint8Array(arrived.calls[0]!.args)).toEqual(ALL_BYTES);
      });

      test("may be large, and so may its report", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        const large = new Uint8Array(5 * MEGABYTE).fill(0xc1);
        const batch = runner.send(large);
        const delivery = await worker.take();
        delivery.report(sampleReport(batch.id, { payload: delivery.batch.calls[0]!.args }));
        delivery.finish();
        await runner.until(() => runner.reports.length === 1);
        expect(Buffer.compare(runner.reports[0]!.outcomes[0]!.payload, large)).toBe(0);
      });

      test("has large results that the runner can read, and that go when it says so", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        const large = inSharedMemory(new Uint8Array(5 * MEGABYTE).fill(0xc1));
        runner.send();
        const delivery = await worker.take();
        delivery.report(sampleReport(delivery.batch.id, { payload: large }));
        delivery.finish();
        await runner.until(() => runner.reports.length === 1);
        const { payload, reference } = runner.reports[0]!.outcomes[0]!;
        const { values } = runner.link;
        const isHanded = reference === undefined;
        const read = isHanded ? payload : await values?.read(reference);
        expect(Buffer.compare(read ?? new Uint8Array(), large)).toBe(0);
        expect(isHanded ? read === large : values !== undefined).toBe(true);
        if (isHanded) return;
        expect(await delivery.fetch?.(reference)).toBe(large); // It made it, and has it at hand.
        values?.remove(reference);
        expect(await values?.read(reference)).toBeUndefined();
      });

      test("sent before any worker joined waits for one", async () => {
        const runner = await joinRunner();
        const batch = runner.send();
        const worker = await joinWorker();
        expect((await worker.take()).batch.id).toBe(batch.id);
      });

      test("comes in the order in which it was sent", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        const sent = Array.from({ length: 20 }, () => runner.send().id);
        const taken: string[] = [];
        for (const _ of sent) taken.push((await worker.take()).batch.id);
        expect(taken).toEqual(sent);
      });

      test("goes to a worker that asks, while another is busy", async () => {
        const [runner, busy, free] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
        const sent = Array.from({ length: 5 }, () => runner.send().id);
        const taken = [(await busy.take()).batch.id];
        for (let index = 1; index < sent.length; index++) taken.push((await free.serveOne()).id);
        expect(taken).toEqual(sent);
      });

      test("is kept by nobody when it is finished", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        const served: WeakRef<Batch>[] = [];
        const count = 20;
        for (let n = 0; n < count; n++) {
          runner.send();
          served.push(new WeakRef(await worker.serveOne()));
        }
        await runner.until(() => runner.reports.length === count);
        // The last ones may still be on their way through some promise.
        await until("they are gone", () => {
          collectGarbage();
          return served.filter((batch) => batch.deref() !== undefined).length <= 2;
        });
      });

      test("is one of 1,000, shared by two workers, and each is answered once", async () => {
        const [runner, one, other] = await Promise.all([joinRunner(), joinWorker(), joinWorker()]);
        const served = [one.serveAll(), other.serveAll()];
        const sent = Array.from({ length: 1000 }, () => runner.send().id);
        await runner.until(() => runner.reports.length === sent.length);
        for (const { link } of [one, other]) link.stopTaking();
        const byWorker = await Promise.all(served);
        expect(byWorker.map((ids) => ids.length > 0)).toEqual([true, true]);
        expect(byWorker.flat().sort()).toEqual([...sent].sort());
        expect(runner.reports.map(({ batchId }) => batchId).sort()).toEqual([...sent].sort());
        expect(runner.lost).toEqual([]);
      });
    });

    describe("reports", () => {
      test("arrive whole, with their logs, in the order in which they were sent", async () => {
        const [runner, worker] = await Promise.all([joinRunner(), joinWorker()]);
        runner.send();
        const { batch, report, finish } = await worker.take();
        const outcome = { durationMicros: 5, payload: ALL_BYTES };
        const requests = [{ sequence: 0, id: 1, body: ALL_BYTES, given: [{ id: "0", value: ALL_BYTES }] }];
        const reports = [
          encoded({ batchId: batch.id, outcomes: [], logs: '{"msg":"größer"}\n', requests, workerId: "w" }),
          encoded({
            batchId: batch.id,
            outcomes: [
              { ...outcome, sequence: 3, kind: "threw" as const },
              { ...outcome, sequence: 1, kind: "returned-state" as const },
            ],
            logs: "",
          }),
          encoded({
            batchId: batch.id,
            outcomes: [{ ...outcome, sequence: 2, kind: "crashed" as const }],
            logs: "last\n",
          }),
        ];
        for (const each of reports) report(each);
        finish();
        await runner.until(() => runner.reports.length === reports.length);
        expect(runner.reports.map((each) => Buffer.from(encodeReport(each)).toString("hex"))).toEqual(
          reports.map(({ bytes }) => Buffer.from(bytes).toString("hex")),
        );
      });

      test("go to the runner that sent the batch", async () => {
        const [one, other, worker] = await Promise.all([joinRunner(), joinRunner(), joinWorker()]);
        const sent = [one.send().id, other.send().id];
        await worker.serveOne();
        await worker.serveOne();
        await one.until(() => one.reports.length > 0);
        await other.until(() => other.reports.length > 0);
        expect([...one.reports, ...other.reports].map(({ batchId }) => batchId)).toEqual(sent);
      });
    });

    describe("capacity", () => {
      test("is told as workers join and leave", async () => {
        const runner = await joinRunner();
        const seen = (workers: number, slots: number) =>
          runner.until(() => {
            const latest = runner.capacities.at(-1);
            return latest?.workers === workers && latest.slots === slots;
          });
        await seen(0, 0);
        const small = await joinWorker(2);
        await seen(1, 2);
        const large = await joinWorker(8);
        await seen(2, 10);
        await small.link.close();
        await seen(1, 8);
        await large.link.close();
        await seen(0, 0);
      });

      test("is told to a runner that joins after the workers", async () => {
        await Promise.all([joinWorker(1), joinWorker(3)]);
        const runner = await joinRunner();
        await runner.until(() => runner.capacities.length > 0);
        expect(runner.capacities.at(-1)).toEqual({ workers: 2, slots: 4 });
      });
    });

    describeMessages({ joinRunner, joinWorker });
    describeEndings({ joinRunner, joinWorker });
  });
}
