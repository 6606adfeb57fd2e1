import type { CallPlace } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TestCall, taskOf } from "../../testing/calls.ts";
import { ScriptedBroker } from "../../testing/scripted-broker.ts";
import { surveyOf } from "./call-survey.ts";
import { Dispatcher } from "./dispatcher.ts";

let broker: ScriptedBroker;
let dispatcher: Dispatcher;
const task = taskOf(import.meta.url, "work");

beforeEach(async () => {
  broker = new ScriptedBroker();
  dispatcher = await Dispatcher.start(broker, { queue: "q", noWorkersTimeoutSeconds: 60 });
});

afterEach(() => dispatcher.close());

function submit(count: number): TestCall[] {
  return Array.from({ length: count }, () => {
    const call = new TestCall(task);
    dispatcher.submit(call);
    return call;
  });
}

async function placesOf(calls: readonly TestCall[]): Promise<(CallPlace | undefined)[]> {
  const survey = surveyOf(new Map([[dispatcher, await dispatcher.survey()]]), () => undefined);
  return calls.map((call) => survey.placeOf(call));
}

/** A call whose batch is sent. */
async function sent(): Promise<[TestCall, string]> {
  broker.hasWorkers(2, 4);
  const [call] = submit(1) as [TestCall];
  const { id } = await broker.sends(1);
  return [call, id];
}

describe("a call of a dispatcher", () => {
  test("waits for a worker, when none serves the queue", async () => {
    broker.hasWorkers(0, 0);
    expect(await placesOf(submit(2))).toEqual([
      { type: "no-workers", queue: "q" },
      { type: "no-workers", queue: "q" },
    ]);
  });

  test("waits behind others, when the window is full", async () => {
    broker.hasWorkers(1, 1);
    const calls = submit(1000);
    await broker.sends(1);
    const places = await placesOf(calls);
    const waiting = places.filter((place) => place?.type === "awaits-window");
    expect(waiting.length).toBeGreaterThan(0);
    expect(waiting.map((place) => "ahead" in place && place.ahead)).toEqual(waiting.map((_, index) => index));
    expect(places.at(-1)).toMatchObject({ queue: "q", withWorkers: calls.length - waiting.length });
  });

  const [host, pid, since, workerId] = ["mill", 7, 1000, "w"];
  const held = { type: "held", queue: "q", workerId, since } as const;

  test.each([
    ["waits in the queue", { type: "waiting" }, { type: "queued", queue: "q", workers: 2 }],
    ["is on its way into the queue", { type: "sent" }, { type: "queued", queue: "q", workers: 2 }],
    [
      "is with a worker",
      { type: "held", workerId, worker: { host, pid }, since },
      { ...held, isAlive: true, host, pid },
    ],
    [
      "is with a silent worker",
      { type: "held", workerId, worker: undefined, since },
      { ...held, isAlive: false },
    ],
    ["is about to come back", { type: "returning" }, { type: "returning", queue: "q" }],
  ] as const)("%s", async (_, place, expected) => {
    const [call, batchId] = await sent();
    broker.places = { places: new Map([[batchId, place]]) };
    expect((await placesOf([call]))[0]).toMatchObject(expected);
  });

  test("waits for its worker to be quiet, when it is suspected and has not begun", async () => {
    const [call] = await sent();
    broker.starts(broker.sent[0]!, 0);
    broker.loses(broker.sent[0]!);
    const alone = await broker.sends(2);
    broker.places = {
      places: new Map([[alone.id, { type: "held", workerId, worker: { host, pid }, since }]]),
    };
    const waiting = { ...held, isAlive: true, host, pid, awaitsQuiet: true };
    expect(await placesOf([call])).toEqual([waiting]);
    broker.starts(alone, 0);
    const { awaitsQuiet, ...begun } = waiting;
    expect(await placesOf([call])).toEqual([begun]);
  });

  test("waits in the queue, when it was sent after its broker was asked", async () => {
    broker.hasWorkers(1, 4);
    const looking = dispatcher.survey();
    const [call] = submit(1) as [TestCall];
    await broker.sends(1);
    const survey = surveyOf(new Map([[dispatcher, await looking]]), () => undefined);
    expect(survey.placeOf(call)).toMatchObject({ type: "queued" });
  });

  test("waits for Redis, wherever it is", async () => {
    const [call] = await sent();
    const others = submit(1000);
    broker.places = { awaySince: 5 };
    expect(new Set((await placesOf([call, ...others])).map((place) => place?.type))).toEqual(
      new Set(["redis-away"]),
    );
  });

  test("is nowhere, when the broker knows nothing of its batch", async () => {
    const [call] = await sent();
    expect(await placesOf([call])).toEqual([undefined]);
  });

  test("is nowhere, when it was never submitted, or has settled", async () => {
    const [call, batchId] = await sent();
    broker.places = { places: new Map([[batchId, { type: "waiting" }]]) };
    broker.returns(broker.sent[0]!, 1);
    expect(await placesOf([call, new TestCall(task)])).toEqual([undefined, undefined]);
  });
});
