import { logTo, type Slots, ValueLostError, WorkerLostError } from "@millrace/core";
import { decode, encode, type TaskDefinition } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { sampleBatch } from "../../testing/samples.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import { givenReference } from "../values/given-values.ts";
import type { Batch } from "../wire/batch.ts";
import type { ValueReference } from "../wire/call-values.ts";
import { decodeOutcome, decodeServiceAnswer, type Request } from "../wire/requests.ts";
import { Dispatcher } from "./dispatcher.ts";

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;

beforeEach(async () => {
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work", { crashRetries: 1 });
});

afterEach(() => dispatcher.close());

function submit(...args: unknown[]): TestCall {
  const call = new TestCall(task, ...args);
  dispatcher.submit(call);
  return call;
}

/** A call that a call makes: the `number`th of its scope. */
function nested(number = 0, crashRetries = 1): Request & { readonly type: "submit" } {
  const sample = sampleBatch("nested");
  return {
    type: "submit",
    crashRetries,
    priority: 0,
    queue: "",
    batch: { ...sample, calls: sample.calls.map((call) => ({ ...call, number })) },
  };
}

/** The same, with an input that stands for a value. */
function referringTo(request: Request, input: ValueReference): Request {
  if (request.type !== "submit") return request;
  const { batch } = request;
  return {
    ...request,
    batch: { ...batch, calls: batch.calls.map((call) => ({ ...call, inputs: [input] })) },
  };
}

const sequenceOf = (batch: Batch) => batch.calls[0]!.sequence;

/** A running call, and the first call that it has made, with the batches that they are in. */
async function parentAndChild(request = nested()) {
  broker.hasWorkers(1, 1);
  const call = submit();
  const parent = await broker.sends(1);
  broker.asks(parent, sequenceOf(parent), 1, request);
  return { call, parent, child: await broker.sends(2) };
}

describe("a call that a running call makes", () => {
  test("is sent as it came, and its outcome goes back, as it came, to who made it", async () => {
    const { parent, child } = await parentAndChild(nested(3));
    const [sample] = sampleBatch("nested").calls;
    const [sent] = child.calls;
    expect(sent!.number).toBe(3);
    expect([sent!.args, ...(sent!.inputs as Uint8Array[])].map((bytes) => new Uint8Array(bytes))).toEqual([
      sample!.args,
      ...sample!.inputs,
    ]);
    expect(child.tasks).toMatchObject([{ name: "add", entry: "src/main.ts" }]);
    expect(child.contexts).toMatchObject([{ scopeId: "scope", tags: ["a", "b"] }]);
    broker.returns(child, { deep: [1n] });
    const { workerId, answer } = broker.answers[0]!;
    expect([workerId, answer.batchId, answer.sequence, answer.id]).toEqual([
      "worker",
      parent.id,
      sequenceOf(parent),
      1,
    ]);
    const { kind, payload } = decodeOutcome(answer);
    expect([kind, decode(payload)]).toEqual(["returned", { deep: [1n] }]);
    expect(broker.released).toEqual([child.id]);
  });

  test("goes ahead of the backlog, and its parent leaves it room in the window", async () => {
    broker.hasWorkers(1, 1);
    const calls = Array.from({ length: 10 }, () => submit());
    await broker.sends(2);
    const [running] = broker.sent;
    const sent = broker.sent.length;
    broker.asks(running!, sequenceOf(running!), 1, nested(8));
    const child = await broker.sends(sent + 1);
    expect(child.calls[0]!.number).toBe(8);
    broker.returns(child, null);
    expect(calls.flatMap(({ outcomes }) => outcomes)).toEqual([]);
  });

  test("may make calls of its own, to any depth, in the window of one thread", async () => {
    broker.hasWorkers(1, 1);
    const call = submit();
    const depth = 100;
    for (let level = 1; level <= depth; level++) {
      const batch = await broker.sends(level);
      broker.asks(batch, sequenceOf(batch), 1, nested());
    }
    await broker.sends(depth + 1);
    for (const batch of [...broker.sent].reverse()) broker.returns(batch, batch.id);
    expect(await call.value()).toBe(broker.sent[0]!.id);
    expect(broker.answers).toHaveLength(depth);
  });

  test("gets what its parent has given, which came with an earlier request", async () => {
    const { parent } = await parentAndChild();
    const [large, request] = [new Uint8Array(100_000), nested(1)];
    const given = givenReference("0", large.length);
    broker.asks(parent, sequenceOf(parent), 2, nested(2), [{ id: given.id, value: large }]);
    broker.asks(parent, sequenceOf(parent), 3, referringTo(request, given));
    broker.hasWorkers(1, 4);
    const sent = await broker.sends(4);
    expect(sent.calls[0]!.inputs).toEqual([large]);
  });

  test("that refers to what did not come is to be made again", async () => {
    broker.hasWorkers(1, 1);
    submit();
    const parent = await broker.sends(1);
    broker.asks(parent, sequenceOf(parent), 1, referringTo(nested(), givenReference("7", 100_000)));
    const { kind, payload } = decodeOutcome(await broker.answered(0));
    expect(kind).toBe("value-lost");
    expect(decode(payload)).toBeInstanceOf(ValueLostError);
  });

  test("is cancelled when its parent says so, waiting or sent", async () => {
    const { parent, child } = await parentAndChild();
    broker.hasWorkers(0);
    broker.asks(parent, sequenceOf(parent), 2, nested(1));
    for (const id of [1, 2]) broker.asks(parent, sequenceOf(parent), 0, { type: "cancel", id });
    const waiting = await broker.answered(1);
    expect([waiting.id, decodeOutcome(waiting).kind]).toEqual([2, "cancelled"]);
    expect(await broker.cancels(1)).toEqual({ batchId: child.id, sequences: [sequenceOf(child)] });
    broker.reports(child, [outcome(sequenceOf(child), "cancelled", null)]);
    expect(decodeOutcome(await broker.answered(2)).kind).toBe("cancelled");
  });

  test("for a queue that cannot be reached is answered once, also when it is cancelled before that is known", async () => {
    let reject!: (error: Error) => void;
    const lane = new Promise<Dispatcher>((_, no) => {
      reject = no;
    });
    await dispatcher.close();
    dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60, laneOf: () => lane });
    broker.hasWorkers(1, 1);
    submit();
    const parent = await broker.sends(1);
    for (const id of [1, 2]) broker.asks(parent, sequenceOf(parent), id, { ...nested(id), queue: "gpu" });
    broker.asks(parent, sequenceOf(parent), 0, { type: "cancel", id: 1 });
    await broker.answered(1);
    reject(new Error("It is away."));
    await broker.answered(2);
    await new Promise(setImmediate); // Whatever else would be answered has been.
    expect(broker.answers.map(({ answer }) => [answer.id, decodeOutcome(answer).kind])).toEqual([
      [1, "cancelled"],
      [2, "crashed"],
    ]);
  });

  test.each<[string, (parent: Batch) => void]>([
    ["ends", (parent) => broker.returns(parent, "done")],
    ["loses its worker", (parent) => broker.loses(parent)],
    ["loses its thread", (parent) => broker.reports(parent, [outcome(sequenceOf(parent), "lost", null)])],
  ])("is cancelled, and answered no more, when its parent %s", async (_, end) => {
    const { parent, child } = await parentAndChild();
    end(parent);
    expect(await broker.cancels(1)).toEqual({ batchId: child.id, sequences: [sequenceOf(child)] });
    broker.returns(child, "too late");
    broker.asks(parent, sequenceOf(parent), 2, nested(1));
    expect(broker.answers).toEqual([]);
  });

  test("of a call of a call goes with them all", async () => {
    const { parent, child } = await parentAndChild();
    broker.asks(child, sequenceOf(child), 1, nested(1));
    const grandchild = await broker.sends(3);
    broker.returns(parent, "done");
    await broker.cancels(1);
    broker.reports(child, [outcome(sequenceOf(child), "cancelled", null)]);
    await broker.cancels(2);
    expect(broker.cancelled.map(({ batchId }) => batchId)).toEqual([child.id, grandchild.id]);
    broker.reports(grandchild, [outcome(sequenceOf(grandchild), "cancelled", null)]);
    expect(broker.answers).toEqual([]);
    expect([...broker.released].sort()).toEqual([parent.id, child.id, grandchild.id].sort());
  });

  test("that cannot be read is left out, and disturbs nobody", async () => {
    broker.hasWorkers(1, 1);
    const call = submit();
    const batch = await broker.sends(1);
    const logged: string[] = [];
    logTo({ write: (line) => void logged.push(line) });
    broker.asksRaw(batch, sequenceOf(batch), 1, Uint8Array.of(0xc1));
    logTo(undefined);
    expect(logged).toEqual([expect.stringContaining("could not be read")]);
    broker.returns(batch, "fine");
    expect(await call.value()).toBe("fine");
  });
});

describe("when a thread or worker dies,", () => {
  const crash = () => new WorkerLostError("The thread died.");

  test("a call of a call is run again, alone, and ends crashed when it goes on so", async () => {
    const { child } = await parentAndChild();
    broker.reports(child, [outcome(sequenceOf(child), "crashed", crash())]);
    const again = await broker.sends(3);
    broker.reports(again, [outcome(sequenceOf(again), "crashed", crash())]);
    const { kind, payload } = decodeOutcome(await broker.answered(1));
    expect([kind, decode(payload)]).toMatchObject(["crashed", { message: "The thread died." }]);
  });

  // Its retries are used up, though nobody is there to hear it: by the second death, or the seventh that it may not have caused.
  test.each([
    ["crashed", 2],
    ["suspected", 7],
  ] as const)(
    "a call of a call keeps its account when its parent, lost as it %s, makes it again",
    async (kind, deaths) => {
      broker.hasWorkers(1, 1);
      const call = submit();
      for (let death = 1; death <= deaths; death++) {
        const parent = await broker.sends(2 * death - 1);
        broker.asks(parent, sequenceOf(parent), 1, nested(5));
        const child = await broker.sends(2 * death);
        broker.reports(parent, [outcome(sequenceOf(parent), "lost", null)]);
        broker.reports(child, [outcome(sequenceOf(child), kind, crash())]);
      }
      expect(broker.answers).toEqual([]);
      const parent = broker.sent.findLast(({ calls }) => calls[0]!.number !== 5)!;
      broker.asks(parent, sequenceOf(parent), 1, nested(5));
      expect(decodeOutcome(await broker.answered(1)).kind).toBe("crashed");
      broker.returns(parent, "caught it");
      expect(await call.value()).toBe("caught it");
    },
  );

  test("one that waited for its own call is not blamed for the worker", async () => {
    broker.hasWorkers(1, 1);
    const call = submit();
    let sent = 0;
    const next = () => broker.sends(++sent);
    for (let death = 1; death <= 4; death++) {
      const parent = await next();
      broker.asks(parent, sequenceOf(parent), 1, nested(death));
      const child = await next();
      broker.loses(parent);
      broker.loses(child);
    }
    expect(call.outcomes).toEqual([]);
    broker.returns(await next(), "after all");
    expect(await call.value()).toBe("after all");
  });

  test("suspects are not blamed as long as there are several, but not for ever", async () => {
    broker.hasWorkers(1, 1);
    const call = submit();
    let deaths = 0;
    for (; call.outcomes.length === 0 && deaths < 100; deaths++) {
      const batch = await broker.sends(deaths + 1);
      broker.reports(batch, [outcome(sequenceOf(batch), "suspected", crash())]);
    }
    expect(call.outcomes).toMatchObject([{ type: "crashed", error: { message: "The thread died." } }]);
    expect(deaths).toBeGreaterThan(2);
  });
});

describe("a service that a call asks for", () => {
  /** The answer to the only request. */
  const answered = async (count = 1) => decodeServiceAnswer((await broker.answered(count)).body);

  async function running(services: object) {
    broker.hasWorkers(1, 1);
    const call = new TestCall(task);
    Object.assign(call.scope.owner.services, services);
    dispatcher.submit(call);
    const batch = await broker.sends(1);
    const ask = (id: number, request: Request) => broker.asks(batch, sequenceOf(batch), id, request);
    return { call, batch, ask };
  }

  /** A limiter with one slot, which a test hands out. */
  function oneSlot() {
    const events: string[] = [];
    const granted: ((slots: Slots) => void)[] = [];
    const limiter = {
      isLimited: () => true,
      acquire: ({ names, signal }: { names: readonly string[]; signal: AbortSignal }) => {
        events.push(`acquire ${names}`);
        return new Promise<Slots>((resolve, reject) => {
          const giveUp = () => {
            events.push("give up");
            reject(signal.reason);
          };
          signal.addEventListener("abort", giveUp);
          granted.push((slots) => {
            signal.removeEventListener("abort", giveUp);
            resolve(slots);
          });
        });
      },
    };
    const grant = async () => {
      granted.shift()!({ release: () => void events.push("release") });
      await new Promise(setImmediate);
    };
    return { events, limiter, grant };
  }

  const acquire: Request = { type: "acquire", names: ["db"], slots: 1, holder: "run", isRate: false };

  const ends = ["when it says so", "when it ends", "when the broker is given up"];
  test.each(ends)("gives slots, which it gives back %s", async (when) => {
    const { events, limiter, grant } = oneSlot();
    const { call, batch, ask } = await running({ limiter });
    ask(1, acquire);
    expect(broker.answers).toEqual([]);
    await grant();
    expect(await answered()).toEqual({ value: null });
    if (when === "when it says so") {
      ask(0, { type: "cancel", id: 1 });
      ask(0, { type: "cancel", id: 1 });
    }
    if (when === "when the broker is given up") {
      broker.isUnavailable(new Error("It is away."));
      expect(await call.settled).toMatchObject({ type: "crashed", error: { message: "It is away." } });
    } else broker.returns(batch, "done");
    expect(events).toEqual(["acquire db", "release"]);
  });

  test("waits no longer when the call has ended", async () => {
    const { events, limiter } = oneSlot();
    const { batch, ask } = await running({ limiter });
    ask(1, acquire);
    broker.returns(batch, "done");
    expect(events).toEqual(["acquire db", "give up"]);
    expect(broker.answers).toEqual([]);
  });

  test("keeps results, and tells an error as one", async () => {
    const kept = new Map<string, { value: Uint8Array; expiresAt: number | undefined }>();
    const resultStore = {
      read: async (key: string) => {
        if (key === "torn") throw new RangeError("torn");
        return kept.get(key);
      },
      write: async (key: string, result: { value: Uint8Array; expiresAt: number | undefined }) => {
        kept.set(key, result);
      },
    };
    const { ask } = await running({ resultStore });
    ask(1, { type: "read", key: "k" });
    expect(await answered(1)).toEqual({ value: null });
    ask(2, { type: "write", key: "k", value: encode("v"), expiresAt: 17.5 });
    expect(await answered(2)).toEqual({ value: null });
    ask(3, { type: "read", key: "k" });
    const { value } = (await answered(3)) as { value: [Uint8Array, number] };
    expect([decode(value[0]), value[1]]).toEqual(["v", 17.5]);
    ask(4, { type: "read", key: "torn" });
    expect(decode(((await answered(4)) as { error: Uint8Array }).error)).toEqual(new RangeError("torn"));
  });

  test("tells the observers", async () => {
    const seen: unknown[] = [];
    const events = { isObserved: true, emit: (name: string, event: unknown) => seen.push([name, event]) };
    const { ask } = await running({ events });
    ask(0, { type: "event", name: "task-run-state", event: encode({ taskRunId: "t" }) });
    ask(0, { type: "event", name: "toString", event: encode({}) });
    expect(seen).toEqual([["task-run-state", { taskRunId: "t" }]]);
    expect(broker.answers).toEqual([]);
  });
});
