import { TaskFuture } from "@millrace/core";
import { EncodedValue, encode, type TaskDefinition, WholeInput } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { ScriptedBroker } from "../../testing/scripted-broker.ts";
import { givenReference } from "../values/given-values.ts";
import { encodeBatch } from "../wire/batch.ts";
import { INLINE_LIMIT_BYTES, NOTHING } from "../wire/call-values.ts";
import { BatchBuilder } from "./batch-builder.ts";
import { MOST_BATCH_BYTES } from "./batch-plan.ts";
import { Dispatcher } from "./dispatcher.ts";

/** Travels within the message, just. */
const KILOBYTES_60 = "x".repeat(60_000);
const value = new EncodedValue(encode(KILOBYTES_60));

/** Futures of values that are there. */
const futures = (count: number) =>
  Array.from({ length: count }, () => new TaskFuture({ rawInput: () => value } as never));

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;

beforeEach(async () => {
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work");
  broker.hasWorkers(1, 2);
  // Known to be short, so that nothing but bytes ends a batch.
  submit();
  broker.returns(await broker.sends(1), 1, 0.001);
});

afterEach(() => dispatcher.close());

function submit(...args: unknown[]): TestCall {
  const call = new TestCall(task, ...args);
  dispatcher.submit(call);
  return call;
}

/** A call that needs so many values, which are there. */
const takes = (values: number) => submit(futures(values));

/** The numbers of the calls in each batch. */
const sent = () => batches().map(({ calls }) => calls.map(({ number }) => number));
const batches = () => broker.sent.slice(1);

describe("calls of many bytes", () => {
  test("go in batches that end at so many, each once and in their order", async () => {
    const calls = Array.from({ length: 200 }, () => submit(KILOBYTES_60));
    await broker.sends(4);
    expect(sent().flat()).toEqual(calls.map(({ number }) => number));
    expect(sent().map(({ length }) => length)).toEqual([70, 70, 60]);
    for (const batch of batches())
      expect(encodeBatch(batch).length).toBeLessThan(MOST_BATCH_BYTES + INLINE_LIMIT_BYTES);
  });

  test("count with the values that they need", async () => {
    const calls = [takes(30), takes(30), takes(30), takes(30)];
    await broker.sends(3);
    expect(sent()).toEqual(
      [calls.slice(0, 3), calls.slice(3)].map((some) => some.map(({ number }) => number)),
    );
  });

  test("have those that wait for them sent along, when all that they wait for is in one batch, and else later", async () => {
    const calls = Array.from({ length: 100 }, () => submit(KILOBYTES_60));
    const foresee = (...above: TestCall[]) => {
      const call = new TestCall(task, ...above.map((one) => new TaskFuture(one as never)));
      dispatcher.foresee(call, above);
      return call;
    };
    const sum = foresee(...calls);
    const ofLast = foresee(calls.at(-1)!);
    const behind = foresee(sum);
    await broker.sends(3);
    expect(sent().flat()).toEqual([...calls, ofLast].map(({ number }) => number));
    for (const batch of batches()) broker.returns(batch, 1);
    for (const call of calls) Object.assign(call, { isDone: true, rawInput: () => 1 });
    dispatcher.submit(sum);
    expect((await broker.sends(4)).calls.map(({ number }) => number)).toEqual([sum.number, behind.number]);
  });
});

describe("calls with large values of their own", () => {
  test("go in small batches, and no more of them than Redis should hold at once", async () => {
    const large = new Uint8Array(20_000_000);
    const calls = Array.from({ length: 30 }, () => submit(large));
    await broker.sends(5);
    broker.returns(batches()[0]!, 1);
    await broker.sends(6);
    await new Promise(setImmediate); // Whatever else would leave has left.
    expect(sent().map(({ length }) => length)).toEqual([4, 4, 4, 4, 4]);
    for (let batch = 1; sent().flat().length < calls.length; batch++) {
      broker.returns(batches()[batch]!, 1);
      await broker.sends(batch + 6);
    }
    expect(sent().flat()).toEqual(calls.map(({ number }) => number));
  });

  test("do so as well when a running call has made them", async () => {
    submit();
    const parent = await broker.sends(2);
    const [running] = parent.calls;
    const asks = (id: number, sizeBytes: number) => {
      const call = { ...running!, args: NOTHING, argsReference: givenReference(`${id}`, sizeBytes) };
      const batch = { ...parent, calls: [call] };
      const request = { type: "submit", crashRetries: 0, priority: 0, queue: "", batch } as const;
      const kept = { runnerId: "runner", id: `kept ${id}`, sizeBytes };
      broker.asks(parent, running!.sequence, id, request, [{ id: `${id}`, value: kept }]);
    };
    asks(1, 100_000);
    broker.returns(await broker.sends(3), 1, 0.001); // Known to be short, as above.
    broker.hasWorkers(0);
    for (let id = 2; id <= 31; id++) asks(id, 20_000_000);
    broker.hasWorkers(1, 2);
    await broker.sends(4);
    await new Promise(setImmediate); // Whatever else would leave has left.
    expect(sent().map(({ length }) => length)).toEqual([1, 1, 4, 4, 4, 4]);
  });

  test("that share one go as others do", async () => {
    const shared = new WholeInput(new Uint8Array(300_000_000), 0);
    for (let n = 0; n < 100; n++) submit(shared);
    await broker.sends(2);
    expect(sent().map(({ length }) => length)).toEqual([100]);
  });
});

describe("a call of more bytes than a message may have", () => {
  test("fails with what to do about it, and others are sent", async () => {
    const call = takes(4500);
    const other = submit();
    expect(await call.settled).toMatchObject({
      type: "threw",
      retriable: false,
      error: {
        name: "NotEncodableError",
        message: expect.stringMatching(
          /at `arguments`, got 4500 values of 2700\d{5} bytes together\. .* let several tasks take a part of them each/,
        ),
      },
    });
    await broker.sends(2);
    expect(sent()).toEqual([[other.number]]);
  });

  test("is known by a count that is not below what is sent, and hardly above", () => {
    const builder = new BatchBuilder("batch", "runner");
    const first = new TestCall(task);
    builder.add(0, first);
    for (const values of [1, 10, 100]) {
      const [before, sizeBefore] = [encodeBatch(builder.batch()).length, builder.sizeBytes];
      builder.add(values, new TestCall(task, futures(values), "é".repeat(values)), [
        { sequence: 0, call: first },
      ]);
      const length = encodeBatch(builder.batch()).length - before;
      const counted = builder.sizeBytes - sizeBefore;
      expect(counted).toBeGreaterThanOrEqual(length);
      expect(counted).toBeLessThan(1.01 * length);
    }
  });
});
