import { DecodeError, logTo } from "@millrace/core";
import { decode, type TaskDefinition } from "@millrace/core/internal";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { sampleBatch } from "../../testing/samples.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import type { Batch } from "../wire/batch.ts";
import { OUTCOME_KINDS } from "../wire/report.ts";
import { decodeServiceAnswer, encodeRequest, type Request } from "../wire/requests.ts";
import { Dispatcher } from "./dispatcher.ts";

// Reports that can be read, and say what cannot be: of calls that are not there, of batches that others have, twice.

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;
const logged: { msg: string }[] = [];

beforeEach(async () => {
  logTo({ write: (line) => logged.push(JSON.parse(line)) });
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work", { crashRetries: 1 });
});

afterEach(async () => {
  await dispatcher.close();
  logTo(undefined);
  logged.length = 0;
});

async function running(): Promise<{ call: TestCall; batch: Batch; sequence: number }> {
  broker.hasWorkers(1, 1);
  const call = new TestCall(task);
  dispatcher.submit(call);
  const batch = await broker.sends(broker.sent.length + 1);
  return { call, batch, sequence: batch.calls[0]!.sequence };
}

test("reports of calls that are not there, and of batches of others, settle nothing", async () => {
  const { call, batch, sequence } = await running();
  const elsewhere = { ...batch, id: "another.0" };
  const report = fc.record({
    sequence: fc.integer({ min: sequence + 1, max: 2 ** 31 }),
    kind: fc.constantFrom(...OUTCOME_KINDS),
    payload: fc.uint8Array({ maxLength: 50 }),
  });
  fc.assert(
    fc.property(report, fc.uint8Array({ maxLength: 50 }), ({ payload, ...said }, body) => {
      broker.reports(batch, [{ ...outcome(said.sequence, said.kind, null), payload }]);
      // What only the holder of the batch can know.
      for (const kind of ["crashed", "suspected", "lost", "unstarted", "value-lost"] as const)
        broker.reports(elsewhere, [{ ...outcome(sequence, kind, null), payload }]);
      broker.asksRaw(batch, said.sequence, 1, body);
      broker.asksRaw(elsewhere, sequence, 1, body);
    }),
  );
  expect(call.outcomes).toEqual([]);
  expect(broker.sent).toHaveLength(1);
  broker.returns(batch, "fine");
  expect(await call.settled).toMatchObject({ type: "returned" });
});

test("requests with any bytes end nothing", async () => {
  const { call, batch, sequence } = await running();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (body) => broker.asksRaw(batch, sequence, 0, body)),
  );
  broker.returns(batch, "fine");
  expect(await call.settled).toMatchObject({ type: "returned" });
});

test("a request that cannot be read is answered with the reason", async () => {
  const { batch, sequence } = await running();
  broker.asksRaw(batch, sequence, 1, Uint8Array.of(0x92));
  const { body, ...answer } = await broker.answered(1);
  expect(answer).toEqual({ batchId: batch.id, sequence, id: 1 });
  const answered = decodeServiceAnswer(body);
  expect("error" in answered && decode(answered.error)).toBeInstanceOf(DecodeError);
});

test("an outcome of any bytes settles its call once, whatever it is", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("returned", "returned-state", "threw", "timed-out", "cancelled"),
      fc.uint8Array({ maxLength: 60 }),
      async (kind, payload) => {
        const { call, batch, sequence } = await running();
        const said = { ...outcome(sequence, kind, null), payload };
        broker.reports(batch, [said, said]);
        broker.returns(batch, "late");
        await call.settled;
        expect(call.outcomes).toHaveLength(1);
      },
    ),
  );
});

test("an event that cannot be read here takes no outcome of its report with it", async () => {
  const { call, batch, sequence } = await running();
  for (const event of [Uint8Array.of(0x92), Uint8Array.of(0xd4, 21, 0, 0x92, 2, 0x92, 0xa1, 0x58, 1)])
    broker.asks(batch, sequence, 0, { type: "event", name: "task-run-state", event });
  broker.returns(batch, "fine");
  expect(await call.settled).toMatchObject({ type: "returned" });
  expect(logged.map(({ msg }) => msg)).toEqual(
    Array(2).fill("a run event could not be read and was left out"),
  );
});

test("a request that comes twice is done once", async () => {
  const { batch, sequence } = await running();
  const sample = sampleBatch("nested");
  const submit: Request = { type: "submit", crashRetries: 0, priority: 0, queue: "", batch: sample };
  for (let count = 0; count < 2; count++) broker.asks(batch, sequence, 1, submit);
  const child = await broker.sends(2);
  for (let count = 0; count < 2; count++) broker.asks(batch, sequence, 1, submit);
  broker.returns(child, "nested");
  await broker.answered(1);
  for (let count = 0; count < 2; count++) broker.asksRaw(batch, sequence, 1, encodeRequest(submit));
  const read: Request = { type: "read", key: "a key that is not there" };
  broker.asks(batch, sequence, 2, read);
  expect(await broker.answered(2)).toMatchObject({ id: 2 });
  expect(broker.sent).toHaveLength(2);
  expect(broker.answers).toHaveLength(2);
});
