import { DecodeError, InvalidOptionError, logTo, NotEncodableError } from "@millrace/core";
import type { TaskDefinition } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import { Dispatcher } from "./dispatcher.ts";

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;

beforeEach(async () => {
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work");
});

afterEach(async () => {
  await dispatcher.close();
  logTo(undefined);
});

function submit(of: TaskDefinition = task, ...args: unknown[]): TestCall {
  const call = new TestCall(of, ...args);
  dispatcher.submit(call);
  return call;
}

function submitMany(count: number): TestCall[] {
  return Array.from({ length: count }, (_, index) => submit(task, index));
}

/** Teaches the dispatcher what a call of the task takes. */
async function learn(milliseconds: number): Promise<void> {
  const call = submit();
  broker.returns(await broker.sends(1), "learnt", milliseconds);
  await call.settled;
  broker.sent.length = 0;
  broker.released.length = 0;
}

test("calls of a higher priority are sent first, and never with others in one batch", async () => {
  const urgent = taskOf(import.meta.url, "urgent", { priority: 5 });
  const idle = taskOf(import.meta.url, "idle", { priority: -1 });
  for (const of of [idle, task, urgent, task]) submit(of);
  broker.hasWorkers(1, 8);
  await broker.sends(3);
  const names = broker.sent.map(({ tasks, calls }) => [tasks.map(({ name }) => name).join(), calls.length]);
  expect(names).toEqual([
    ["urgent", 1],
    ["work", 2],
    ["idle", 1],
  ]);
});

describe("calls", () => {
  test("of one turn of the event loop travel together, and each gets its own outcome", async () => {
    broker.hasWorkers(1, 8);
    const calls = submitMany(3);
    expect(broker.sent).toEqual([]);
    const batch = await broker.sends(1);
    expect(batch.calls).toHaveLength(3);
    expect(batch.tasks).toEqual([
      {
        module: expect.stringMatching(/packages\/broker\/src\/dispatch\/dispatcher\.test\.ts$/),
        entry: undefined,
        name: "work",
        timeoutSeconds: 0,
      },
    ]);
    broker.reports(
      batch,
      batch.calls.map(({ sequence }, index) => outcome(sequence, "returned", `value ${index}`)),
    );
    expect(await Promise.all(calls.map((call) => call.value()))).toEqual(["value 0", "value 1", "value 2"]);
    expect(broker.released).toEqual([batch.id]);
  });

  test("of one task are alike with whatever options: each is expected to take what others took", async () => {
    broker.hasWorkers(1, 1);
    await learn(0.1);
    for (let n = 0; n < 20; n++) submit({ ...task }); // As withOptions gives a new definition each time.
    expect((await broker.sends(1)).calls).toHaveLength(20);
  });

  test("of a long loop leave before the loop ends", () => {
    broker.hasWorkers(1, 2);
    submitMany(999);
    expect(broker.sent).toEqual([]);
    submit();
    expect(broker.sent.length).toBeGreaterThan(0);
  });

  test("wait for workers, and leave when one comes", async () => {
    const [call] = submitMany(1);
    broker.hasWorkers(0, 0);
    broker.hasWorkers(1, 2);
    broker.returns(await broker.sends(1), "late");
    expect(await call!.value()).toBe("late");
  });

  test("that end in different reports keep their batch until the last", async () => {
    broker.hasWorkers(1, 8);
    const calls = submitMany(2);
    const batch = await broker.sends(1);
    const [first, second] = batch.calls.map(({ sequence }) => sequence);
    broker.reports(batch, [outcome(second!, "returned", "second")]);
    expect(broker.released).toEqual([]);
    broker.reports(batch, [outcome(first!, "returned", "first")]);
    expect(broker.released).toEqual([batch.id]);
    expect(await Promise.all(calls.map((call) => call.value()))).toEqual(["first", "second"]);
  });

  test("settle as what they ended with", async () => {
    broker.hasWorkers(1, 8);
    const [threw, threwForGood] = submitMany(2);
    const batch = await broker.sends(1);
    const [first, second] = batch.calls.map(({ sequence }) => sequence);
    broker.reports(batch, [
      outcome(first!, "threw", new RangeError("too far")),
      outcome(second!, "threw-for-good", new TypeError("no task")),
    ]);
    expect(threw!.outcomes).toEqual([{ type: "threw", error: new RangeError("too far"), retriable: true }]);
    expect(threwForGood!.outcomes).toEqual([
      { type: "threw", error: new TypeError("no task"), retriable: false },
    ]);
  });
});

describe("the window", () => {
  test("holds a little more than the threads can do, and each end lets the next in", async () => {
    broker.hasWorkers(2, 4);
    await learn(100);
    submitMany(50);
    await broker.sends(6);
    expect(broker.sent.map(({ calls }) => calls.length)).toEqual([1, 1, 1, 1, 1, 1]);
    broker.returns(broker.sent[2]!, "done", 100);
    await broker.sends(7);
    expect(broker.sent.at(-1)!.calls).toHaveLength(1);
    expect(broker.sent).toHaveLength(7);
  });

  test("lets in more when workers join", async () => {
    broker.hasWorkers(1, 1);
    await learn(100);
    submitMany(50);
    await broker.sends(2);
    broker.hasWorkers(2, 4);
    expect(broker.sent).toHaveLength(6);
  });

  test("is not closed by calls that were lost", async () => {
    broker.hasWorkers(1, 1);
    await learn(100);
    submitMany(3);
    await broker.sends(2);
    for (const batch of [...broker.sent]) broker.loses(batch);
    await broker.sends(4);
    for (const batch of broker.sent.slice(2)) broker.returns(batch, "again", 100);
    expect(broker.sent).toHaveLength(5);
  });
});

describe("a call that cannot travel", () => {
  test.each([
    ["an argument is no value", () => submit(task, () => {}), NotEncodableError],
    ["its task is in no file", () => submit(taskOf(undefined, "nowhere")), InvalidOptionError],
    [
      "its task is outside the project",
      () => submit(taskOf("file:///etc/hosts", "outside")),
      /outside the project root/,
    ],
  ])("fails alone when %s", async (_, submitBad, error) => {
    broker.hasWorkers(1, 8);
    const before = submit(task, "before");
    const bad = submitBad();
    const after = submit(task, "after");
    const batch = await broker.sends(1);
    expect(batch.calls).toHaveLength(2);
    broker.returns(batch, "fine");
    expect(await Promise.all([before.value(), after.value()])).toEqual(["fine", "fine"]);
    const failed = await bad.settled;
    expect(failed).toMatchObject({ type: "threw", retriable: false });
    expect(() => {
      throw (failed as { error: unknown }).error;
    }).toThrow(error);
  });

  test("is never settled inside its submit", async () => {
    broker.hasWorkers(1, 8);
    for (let index = 0; index < 1000; index++) {
      const call = submit(taskOf(undefined, "nowhere"));
      expect(call.outcomes).toEqual([]);
      if (index === 999) await call.settled;
    }
    expect(broker.sent).toEqual([]);
  });
});

describe("a report", () => {
  test("writes its log lines before its outcomes count", async () => {
    const events: string[] = [];
    logTo({ write: (line) => events.push(line) });
    broker.hasWorkers(1, 8);
    const call = submit();
    call.settle = () => events.push("settled");
    const batch = await broker.sends(1);
    broker.reports(batch, [outcome(batch.calls[0]!.sequence, "returned", 1)], "a line\n");
    expect(events).toEqual(["a line\n", "settled"]);
  });

  test.each(["returned-state", "threw", "threw-for-good"] as const)(
    "with an unreadable value that was %s fails that call alone",
    async (kind) => {
      broker.hasWorkers(1, 8);
      const [bad, good] = submitMany(2);
      const batch = await broker.sends(1);
      const [first, second] = batch.calls.map(({ sequence }) => sequence);
      const unreadable = { ...outcome(first!, kind, 0), payload: Uint8Array.of(0xc1, 0xff) };
      broker.reports(batch, [unreadable, outcome(second!, "returned", "fine")]);
      expect(await bad!.settled).toMatchObject({ type: "threw", error: expect.any(DecodeError) });
      expect(await good!.value()).toBe("fine");
    },
  );

  test("of calls that nobody knows is ignored", async () => {
    broker.hasWorkers(1, 8);
    const call = submit();
    const batch = await broker.sends(1);
    broker.reports(batch, [outcome(4711, "returned", "stray"), outcome(4712, "crashed", new Error("stray"))]);
    broker.reports({ ...batch, id: "another" }, []);
    expect(call.outcomes).toEqual([]);
    broker.returns(batch, "mine");
    expect(await call.value()).toBe("mine");
  });
});

test("closing leaves the broker", async () => {
  await dispatcher.close();
  expect(broker.isLeft).toBe(true);
});
