import { logTo, NoWorkersError, type Outcome, WorkerLostError } from "@millrace/core";
import type { TaskDefinition } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { outcome, ScriptedBroker } from "../../testing/scripted-broker.ts";
import { Dispatcher } from "./dispatcher.ts";

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
let task: TaskDefinition;
const logged: string[] = [];

beforeEach(async () => {
  logTo({ write: (line) => void logged.push(line) });
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { queue: "gpu", noWorkersTimeoutSeconds: 60 });
  task = taskOf(import.meta.url, "work", { crashRetries: 2 });
});

afterEach(async () => {
  await dispatcher.close();
  vi.useRealTimers();
  logTo(undefined);
  logged.length = 0;
});

function submitMany(count: number, of: TaskDefinition = task): TestCall[] {
  return Array.from({ length: count }, () => {
    const call = new TestCall(of);
    dispatcher.submit(call);
    return call;
  });
}

const sequencesOf = (batches: ScriptedBroker["sent"]) =>
  batches.map(({ calls }) => calls.map(({ sequence }) => sequence));

describe("a batch that is lost with its worker", () => {
  test("is sent again: calls that computed each alone, the others as if nothing had been", async () => {
    broker.hasWorkers(1, 4);
    const calls = submitMany(4);
    const batch = await broker.sends(1);
    const [first, second, third, fourth] = batch.calls.map(({ sequence }) => sequence);
    broker.reports(batch, [outcome(second!, "returned", "in time")]);
    broker.starts(batch, second!, third!);
    broker.loses(batch);
    await broker.sends(3);
    expect(broker.sent.slice(1).map(({ isAlone }) => isAlone)).toEqual([true, false]);
    expect(sequencesOf(broker.sent.slice(1))).toEqual([[third], [first, fourth]]);
    expect(broker.released).toEqual([batch.id]);
    for (const again of broker.sent.slice(1)) broker.returns(again, "again");
    expect(await Promise.all(calls.map((call) => call.value()))).toEqual([
      "again",
      "in time",
      "again",
      "again",
    ]);
  });

  test("suspects whoever it was with twice: of short calls, nobody says that they have begun", async () => {
    broker.hasWorkers(1, 4);
    submitMany(2);
    broker.loses(await broker.sends(1));
    const again = await broker.sends(2);
    expect([again.isAlone, again.calls.length]).toEqual([false, 2]);
    broker.loses(again);
    await broker.sends(4);
    expect(broker.sent.slice(2).map(({ isAlone, calls }) => [isAlone, calls.length])).toEqual([
      [true, 1],
      [true, 1],
    ]);
  });

  test.each([0, 1, 3])(
    "and again with its next one, alone: with crashRetries %i so often, then CRASHED with the reason",
    async (crashRetries) => {
      broker.hasWorkers(1, 1);
      const [call] = submitMany(1, taskOf(import.meta.url, "poison", { crashRetries }));
      for (let death = 0; death <= crashRetries + 1; death++) {
        expect(call!.outcomes).toEqual([]);
        const batch = await broker.sends(death + 1);
        expect(batch.isAlone).toBe(death > 0);
        broker.starts(batch, batch.calls[0]!.sequence);
        broker.loses(batch, `Death number ${death}.`);
      }
      expect(await call!.settled).toEqual({ type: "crashed", error: expect.any(WorkerLostError) });
      expect((call!.outcomes[0] as { error: Error }).error.message).toBe(`Death number ${crashRetries + 1}.`);
      expect(broker.sent).toHaveLength(crashRetries + 2);
    },
  );

  test("is asked back while it waits to run alone, also when its runner has no other call, and may go elsewhere", async () => {
    broker.hasWorkers(2, 4);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    broker.starts(batch, batch.calls[0]!.sequence);
    broker.loses(batch);
    const alone = await broker.sends(2);
    expect(await broker.handsBack(1)).toBe(alone.id);
    broker.reports(alone, [outcome(alone.calls[0]!.sequence, "unstarted", undefined)]);
    const elsewhere = await broker.sends(3);
    expect(elsewhere.isAlone).toBe(true);
    broker.returns(elsewhere, "there");
    expect(await call!.value()).toBe("there");
  });

  test("blames nobody when it is not the worker that is gone", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1, taskOf(import.meta.url, "work", { crashRetries: 0 }));
    for (let delivery = 1; delivery <= 20; delivery++) {
      const batch = await broker.sends(delivery);
      expect(batch.isAlone).toBe(false);
      broker.starts(batch, batch.calls[0]!.sequence);
      broker.loses(batch, "The queue no longer has the batch.", false);
    }
    broker.returns(await broker.sends(21), "at last");
    expect(await call!.value()).toBe("at last");
  });

  test("goes ahead of calls that wait", async () => {
    broker.hasWorkers(1, 1);
    submitMany(20);
    await broker.sends(2);
    const lost = broker.sent[0]!;
    broker.loses(lost);
    await broker.sends(3);
    expect(sequencesOf([broker.sent[2]!])).toEqual(sequencesOf([lost]));
  });

  test("that is reported as lost twice, or is not known, changes nothing", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    broker.loses(batch);
    broker.loses(batch);
    broker.loses({ ...batch, id: "unknown" });
    broker.returns(await broker.sends(2), "again");
    expect(await call!.value()).toBe("again");
    expect(broker.sent).toHaveLength(2);
  });
});

describe("a call whose thread died", () => {
  test("is run again alone, without its batch mates", async () => {
    broker.hasWorkers(1, 4);
    const [guilty, innocent] = submitMany(2);
    const batch = await broker.sends(1);
    const [first, second] = batch.calls.map(({ sequence }) => sequence);
    broker.reports(batch, [outcome(first!, "crashed", new WorkerLostError("The thread died."))]);
    expect(sequencesOf([await broker.sends(2)])).toEqual([[first]]);
    broker.reports(batch, [outcome(second!, "returned", "unharmed")]);
    broker.returns(broker.sent[1]!, "second try");
    expect(await Promise.all([guilty!.value(), innocent!.value()])).toEqual(["second try", "unharmed"]);
  });

  test("ends CRASHED with the error of its last death", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1);
    for (let delivery = 1; delivery <= 3; delivery++) {
      const batch = await broker.sends(delivery);
      broker.reports(batch, [
        outcome(batch.calls[0]!.sequence, "crashed", new WorkerLostError(`Death ${delivery}.`)),
      ]);
    }
    const ended: Outcome = await call!.settled;
    expect(ended).toMatchObject({ type: "crashed", error: { message: "Death 3." } });
  });
});

describe("of several outcomes of a call", () => {
  test("that of the last delivery counts: what comes late from one that was given up is ignored", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1);
    const first = await broker.sends(1);
    broker.loses(first);
    const second = await broker.sends(2);
    broker.returns(first, "too late");
    broker.returns(second, "second");
    expect(await call!.value()).toBe("second");
    expect(broker.released).toEqual([first.id, second.id]);
  });

  test("a duplicate changes nothing", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    broker.returns(batch, "once");
    broker.returns(batch, "twice");
    broker.loses(batch);
    expect(await call!.value()).toBe("once");
  });

  test("a crash of a delivery that was given up does not count against the next one", async () => {
    broker.hasWorkers(1, 1);
    const [call] = submitMany(1, taskOf(import.meta.url, "work", { crashRetries: 1 }));
    const first = await broker.sends(1);
    broker.loses(first);
    const second = await broker.sends(2);
    broker.reports(first, [outcome(first.calls[0]!.sequence, "crashed", new WorkerLostError("Late."))]);
    broker.returns(second, "fine");
    expect(await call!.value()).toBe("fine");
  });
});

describe("without workers", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });

  /** Lets the dispatcher notice, at the end of this turn of the event loop. */
  const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

  async function expectCrashed(calls: readonly TestCall[]): Promise<void> {
    for (const call of calls) {
      expect(await call.settled).toEqual({ type: "crashed", error: expect.any(NoWorkersError) });
      const [{ error }, ...others] = call.outcomes as unknown as [{ error: Error }];
      expect(error.message).toMatch(/queue "gpu" within 60 s/);
      expect(others).toEqual([]);
    }
  }

  test("calls wait, then there is a warning, then they end CRASHED", async () => {
    const calls = submitMany(3);
    await nextTurn();
    await vi.advanceTimersByTimeAsync(4_999);
    expect(logged).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(logged.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: 40, queue: "gpu", waiting: 3 }),
    ]);
    await vi.advanceTimersByTimeAsync(54_999);
    expect(calls.flatMap(({ outcomes }) => outcomes)).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    await expectCrashed(calls);
  });

  test("the time counts anew once a worker has been there", async () => {
    const [call] = submitMany(1);
    await nextTurn();
    await vi.advanceTimersByTimeAsync(59_000);
    broker.hasWorkers(1);
    const batch = await broker.sends(1);
    await vi.advanceTimersByTimeAsync(59_000);
    broker.returns(batch, "done");
    expect(await call!.value()).toBe("done");
  });

  test("calls whose workers have all left do not wait for ever", async () => {
    broker.hasWorkers(1, 1);
    const calls = submitMany(5);
    await broker.sends(2);
    broker.hasWorkers(0, 0);
    await vi.advanceTimersByTimeAsync(60_000);
    await expectCrashed(calls);
    // The broker still has the batches, and takes them out when the runner leaves.
    expect(broker.released).toEqual([]);
    broker.returns(broker.sent[0]!, "too late");
    await expectCrashed(calls);
  });

  test("nothing is said when nothing waits", async () => {
    broker.hasWorkers(1);
    const [call] = submitMany(1);
    const batch = await broker.sends(1);
    broker.hasWorkers(0, 0);
    broker.returns(batch, "just in time");
    vi.advanceTimersByTime(120_000);
    expect(await call!.value()).toBe("just in time");
    expect(logged).toEqual([]);
  });
});
