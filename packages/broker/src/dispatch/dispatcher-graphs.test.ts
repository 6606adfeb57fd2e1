import { type Outcome, TaskFuture, WorkerLostError } from "@millrace/core";
import type { TaskDefinition } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import type { Batch } from "../wire/batch.ts";
import { Dispatcher } from "./dispatcher.ts";

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;

beforeEach(async () => {
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work");
});

afterEach(() => dispatcher.close());

/** A call that is submitted; or, with others to wait for, one that is foreseen. */
function make(...upstream: TestCall[]): TestCall {
  return makeOf(task, ...upstream);
}

function makeOf(of: TaskDefinition, ...upstream: TestCall[]): TestCall {
  const call = new TestCall(of, ...upstream.map((one) => new TaskFuture(one as never)));
  if (upstream.length === 0) dispatcher.submit(call);
  else dispatcher.foresee(call, upstream);
  return call;
}

/** The numbers of the calls in the batch, in their order. */
const numbersIn = ({ calls }: Batch) => calls.map(({ number }) => number);
const sequenceIn = ({ calls }: Batch, { number }: TestCall) =>
  calls.find((call) => call.number === number)!.sequence;

describe("a call that waits for others", () => {
  test("travels with them, and names them as its inputs", async () => {
    broker.hasWorkers(1, 2);
    const [a, b] = [make(), make()];
    const sum = make(a, b);
    const batch = await broker.sends(1);
    expect(numbersIn(batch)).toEqual([a, b, sum].map(({ number }) => number));
    expect(batch.calls[2]!.inputs).toEqual([sequenceIn(batch, a), sequenceIn(batch, b)]);
    expect(batch.calls[2]!.attempt).toBe(1);
  });

  test("that waits for one without its value names that as well", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    const call = new TestCall(task, "no future");
    dispatcher.foresee(call, [first]);
    const batch = await broker.sends(1);
    expect(batch.calls[1]).toMatchObject({ inputs: [], after: [sequenceIn(batch, first)] });
  });

  test("is settled when it has been submitted, and not before", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    const second = make(first);
    const batch = await broker.sends(1);
    broker.returns(batch, "value");
    expect(await first.value()).toBe("value");
    expect(second.outcomes).toEqual([]);
    first.isDone = true;
    dispatcher.submit(second);
    expect(second.outcomes).toEqual([]); // Never within its submit.
    expect(await second.value()).toBe("value");
    expect(broker.released).toEqual([batch.id]);
    expect(broker.sent).toHaveLength(1);
  });

  test("runs on when it is submitted while its batch is on the way", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    const second = make(first);
    const batch = await broker.sends(1);
    broker.reports(batch, [outcome(sequenceIn(batch, first), "returned", 1)]);
    first.isDone = true;
    dispatcher.submit(second);
    broker.reports(batch, [outcome(sequenceIn(batch, second), "returned", 2)]);
    expect(await second.value()).toBe(2);
    expect(broker.sent).toHaveLength(1);
  });

  test("that was not started, since the other failed, travels with that again when it is tried again", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    const second = make(first);
    const batch = await broker.sends(1);
    broker.reports(batch, [
      outcome(sequenceIn(batch, first), "threw", new Error("once")),
      outcome(sequenceIn(batch, second), "unstarted", undefined),
    ]);
    expect((await first.settled).type).toBe("threw");
    expect(broker.released).toEqual([batch.id]);
    dispatcher.submit(first);
    expect(numbersIn(await broker.sends(2))).toEqual([first.number, second.number]);
  });

  test("is not sent when its run is over before", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    const second = make(first);
    dispatcher.cancel(second);
    expect(numbersIn(await broker.sends(1))).toEqual([first.number]);
  });

  test("goes on its own when what it waits for could not be sent", async () => {
    broker.hasWorkers(1, 2);
    const unsendable = new TestCall(task, () => {});
    dispatcher.submit(unsendable);
    const second = make(unsendable);
    const other = make();
    expect(numbersIn(await broker.sends(1))).toEqual([other.number]);
    expect((await unsendable.settled).type).toBe("threw");
    expect(second.outcomes).toEqual([]);
  });

  test("stays out of a batch while something that has returned is not final: its result is being kept", async () => {
    broker.hasWorkers(1, 2);
    const [kept, failing] = [make(), make()];
    const sum = make(kept, failing);
    const batch = await broker.sends(1);
    broker.reports(batch, [
      outcome(sequenceIn(batch, kept), "returned", 1),
      outcome(sequenceIn(batch, failing), "threw", new Error("once")),
      outcome(sequenceIn(batch, sum), "unstarted", undefined),
    ]);
    dispatcher.submit(failing);
    expect(numbersIn(await broker.sends(2))).toEqual([failing.number]);
  });

  test("stays out of a batch of another priority", async () => {
    broker.hasWorkers(1, 2);
    const first = make();
    makeOf(taskOf(import.meta.url, "urgent", { priority: 5 }), first);
    expect(numbersIn(await broker.sends(1))).toEqual([first.number]);
  });

  test("takes no place in the window", async () => {
    broker.hasWorkers(1, 2);
    const chain = [make()];
    for (let length = 1; length < 50; length++) chain.push(make(chain.at(-1)!));
    await broker.sends(1);
    const others = [make(), make()];
    expect(numbersIn(await broker.sends(2))).toEqual(others.map(({ number }) => number));
  });

  test("is not suspected when its worker dies before it could have begun", async () => {
    broker.hasWorkers(1, 2);
    const first = makeOf(taskOf(import.meta.url, "fragile", { crashRetries: 0 }));
    const second = make(first);
    const together = await broker.sends(1);
    broker.starts(together, sequenceIn(together, first));
    broker.loses(together);
    const alone = await broker.sends(2);
    expect(numbersIn(alone)).toEqual([first.number]);
    broker.starts(alone, sequenceIn(alone, first));
    broker.loses(alone);
    expect((await first.settled).type).toBe("crashed");
    expect(second.outcomes).toEqual([]);
    expect(broker.released).toEqual(broker.sent.map(({ id }) => id));
  });
});

describe("a call that dies in its thread while the result of what it waits for is being kept", () => {
  /** @returns the call, submitted after it has died */
  async function died(crashRetries: number): Promise<TestCall> {
    broker.hasWorkers(1, 2);
    const kept = make();
    const call = new TestCall(taskOf(import.meta.url, "fragile", { crashRetries }));
    dispatcher.foresee(call, [kept]);
    const batch = await broker.sends(1);
    broker.reports(batch, [outcome(sequenceIn(batch, kept), "returned", 1)]);
    broker.reports(batch, [outcome(sequenceIn(batch, call), "crashed", new WorkerLostError("It died."))]);
    expect([call.outcomes, broker.sent.length]).toEqual([[], 1]);
    kept.isDone = true;
    dispatcher.submit(call);
    return call;
  }

  test("runs again alone", async () => {
    const call = await died(1);
    const again = await broker.sends(2);
    expect([numbersIn(again), again.isAlone]).toEqual([[call.number], true]);
    broker.returns(again, "well");
    expect(await call.value()).toBe("well");
  });

  test("is not run again when it may not be", async () => {
    const call = await died(0);
    expect(await call.settled).toMatchObject({ type: "crashed", error: { message: "It died." } });
    expect(broker.sent).toHaveLength(1);
  });
});

describe("a call that waits for more calls than a batch holds", () => {
  let looks = 0;

  /** Its run is final when it has settled, and counts how often somebody looks. */
  class WatchedCall extends TestCall {
    override isFinal(): boolean {
      looks++;
      return super.isFinal();
    }

    override settle(outcome: Outcome): void {
      this.isDone = true;
      super.settle(outcome);
    }
  }

  /** Has so many calls done, and foresees the sum of them. @returns looks at them, for each */
  async function looksForSumOf(width: number): Promise<number> {
    looks = 0;
    const parts = Array.from({ length: width }, () => new WatchedCall(task));
    for (const part of parts) dispatcher.submit(part);
    make(...parts);
    for (let done = 0; done < width; ) {
      const batches = broker.released.length + 1;
      await broker.sends(batches);
      const batch = broker.sent[batches - 1]!;
      broker.returns(batch, 1, 0.01);
      done += batch.calls.length;
    }
    return looks / width;
  }

  test("costs each of those the same, however many they are", async () => {
    broker.hasWorkers(2, 4);
    const few = await looksForSumOf(2000);
    expect(few).toBeGreaterThanOrEqual(1);
    expect(await looksForSumOf(20_000)).toBeLessThanOrEqual(few);
  });
});

describe("a batch of which calls are handed back", () => {
  test("has these sent again, and the others end as they end", async () => {
    broker.hasWorkers(1, 2);
    const [first, second] = [make(), make()];
    const batch = await broker.sends(1);
    broker.reports(batch, [outcome(sequenceIn(batch, second), "unstarted", undefined)]);
    const again = await broker.sends(2);
    expect(numbersIn(again)).toEqual([second.number]);
    broker.returns(again, "second");
    broker.reports(batch, [outcome(sequenceIn(batch, first), "returned", "first")]);
    expect([await first.value(), await second.value()]).toEqual(["first", "second"]);
  });

  test("is asked to do so when it takes too long while another worker may have time", async () => {
    broker.hasWorkers(2, 2);
    const calls = [make(), make(), make(), make()];
    await broker.sends(2);
    await broker.handsBack(2);
    expect(new Set(broker.handedBack.slice(0, 2))).toEqual(
      new Set(broker.sent.map(({ id }) => id).slice(0, 2)),
    );
    expect(calls.every(({ outcomes }) => outcomes.length === 0)).toBe(true);
  });
});
