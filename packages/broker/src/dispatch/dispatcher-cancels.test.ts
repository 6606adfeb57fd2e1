import { WorkerLostError } from "@millrace/core";
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
  task = taskOf(import.meta.url, "work", { crashRetries: 1 });
});

afterEach(() => dispatcher.close());

function submitMany(count: number): TestCall[] {
  return Array.from({ length: count }, (_, index) => {
    const call = new TestCall(task, index);
    dispatcher.submit(call);
    return call;
  });
}

const CANCELLED = { type: "cancelled" };

const outcomesOf = (calls: readonly TestCall[]) => calls.map(({ outcomes }) => outcomes);

describe("a call that waits in the backlog", () => {
  test("is dropped, not within the cancel, and never sent", async () => {
    const calls = submitMany(3);
    dispatcher.cancel(calls[1]!);
    expect(calls[1]!.outcomes).toEqual([]);
    expect(await calls[1]!.settled).toEqual(CANCELLED);
    broker.hasWorkers(1, 8);
    const batch = await broker.sends(1);
    expect(batch.calls.map(({ sequence }) => sequence)).toEqual([0, 2]);
    broker.returns(batch, "done");
    expect(outcomesOf(calls).map(({ length }) => length)).toEqual([1, 1, 1]);
    expect(broker.cancelled).toEqual([]);
  });

  test("is one of 100,000 that are cancelled, in whatever order, in no time", async () => {
    const calls = submitMany(100_000);
    const before = process.cpuUsage();
    for (const [index, call] of calls.entries()) {
      dispatcher.cancel(calls[(index * 7919) % calls.length]!);
      if (index % 1000 === 0) await call.settled.constructor; // A turn of the microtask queue.
    }
    await Promise.all(calls.map(({ settled }) => settled));
    // A search per call takes minutes. Of the processor, since the machine may have others to serve.
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(5_000);
    broker.hasWorkers(1, 8);
    submitMany(1);
    expect((await broker.sends(1)).calls.map(({ sequence }) => sequence)).toEqual([100_000]);
  });

  test("may be submitted again, as a retry is, and is another call then", async () => {
    const [call] = submitMany(1);
    dispatcher.cancel(call!);
    await call!.settled;
    dispatcher.submit(call!);
    broker.hasWorkers(1, 8);
    broker.returns(await broker.sends(1), "second");
    expect(call!.outcomes.map(({ type }) => type)).toEqual(["cancelled", "returned"]);
  });
});

describe("a call that was sent", () => {
  test("is cancelled with the broker, together with its batch mates of this turn", async () => {
    broker.hasWorkers(1, 8);
    const calls = submitMany(4);
    const batch = await broker.sends(1);
    for (const index of [3, 1, 3]) dispatcher.cancel(calls[index]!);
    expect(await broker.cancels(1)).toEqual({ batchId: batch.id, sequences: [3, 1] });
    expect(broker.cancelled).toHaveLength(1);
    broker.reports(
      batch,
      [1, 3].map((sequence) => outcome(sequence, "cancelled", null)),
    );
    expect(outcomesOf(calls)).toEqual([[], [CANCELLED], [], [CANCELLED]]);
    broker.reports(batch, [outcome(0, "returned", 1), outcome(2, "returned", 2)]);
    expect(broker.released).toEqual([batch.id]);
  });

  test("settles as it ended when that came first", async () => {
    broker.hasWorkers(1, 8);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    dispatcher.cancel(call!);
    broker.returns(batch, "in time");
    expect(await call!.value()).toBe("in time");
    dispatcher.cancel(call!);
    broker.withdraws(batch);
    expect(call!.outcomes).toHaveLength(1);
  });

  test("and was in a batch that no worker had is cancelled; its mates go again, ahead of the backlog", async () => {
    broker.hasWorkers(1, 2);
    const calls = submitMany(6);
    const batch = await broker.sends(1);
    const mates = batch.calls.map(({ sequence }) => sequence);
    dispatcher.cancel(calls[mates[0]!]!);
    await broker.cancels(1);
    const sent = broker.sent.length;
    broker.withdraws(batch);
    expect(await calls[mates[0]!]!.settled).toEqual(CANCELLED);
    const again = await broker.sends(sent + 1);
    expect(again.calls[0]!.sequence).toBe(mates[1]);
    expect(again.id).not.toBe(batch.id);
  });

  type Death = (batch: ScriptedBroker["sent"][number]) => void;
  test.each<[string, boolean, Death]>([
    ["worker", false, (batch) => broker.loses(batch)],
    ["thread", true, (batch) => broker.reports(batch, [outcome(0, "crashed", new WorkerLostError("Gone."))])],
  ])("and whose %s died is cancelled, and not sent again", async (_, mayRunOn, die) => {
    broker.hasWorkers(1, 8);
    const [call, mate] = submitMany(2);
    const batch = await broker.sends(1);
    dispatcher.cancel(call!);
    await broker.cancels(1);
    die(batch);
    expect(await call!.settled).toEqual(CANCELLED);
    const last = mayRunOn ? batch : await broker.sends(2);
    broker.reports(last, [outcome(1, "returned", "unharmed")]);
    expect(await mate!.value()).toBe("unharmed");
    for (const again of broker.sent.slice(1))
      expect(again.calls.map(({ sequence }) => sequence)).toEqual([1]);
  });

  test("and is a suspect that waits is dropped", async () => {
    broker.hasWorkers(1, 8);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    broker.hasWorkers(0);
    broker.loses(batch);
    dispatcher.cancel(call!);
    expect(await call!.settled).toEqual(CANCELLED);
    broker.hasWorkers(1, 8);
    expect(broker.sent).toHaveLength(1);
  });
});
