import { type Batch, MemoryBroker } from "@millrace/broker";
import { ModulePathError } from "@millrace/core";
import { decode } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../../test/support/leaks.ts";
import { batchOf, FIXTURES } from "../../testing/batches.ts";
import { GatedExecutor } from "../../testing/gated-executor.ts";
import { TestRunner } from "../../testing/test-runner.ts";
import { InlineExecutor } from "../executors/inline-executor.ts";
import { Worker } from "./worker.ts";

/** Longer than any test: a stop that needs it waits in vain. */
const LONG_SECONDS = 1000;

let resources: ResourceSnapshot;
let broker: MemoryBroker;
let runner: TestRunner;
let executor: GatedExecutor;

beforeEach(async () => {
  resources = await snapshotResources();
  broker = new MemoryBroker();
  runner = await TestRunner.join(broker);
  executor = new GatedExecutor();
});

afterEach(async () => {
  await runner.link.close();
  await broker.close();
  await expectReleased(resources);
});

const add = (...numbers: number[]) =>
  batchOf("tasks.js", ...numbers.map((number) => ["add", number, 1] as const));

describe("a worker", () => {
  test("joins with its executor's threads, once that has started", async () => {
    const worker = await Worker.start({ broker, executor, workerId: "me", modules: ["a.js", "b.js"] });
    expect(worker.workerId).toBe("me");
    expect(executor.events).toEqual(["start a.js b.js"]);
    await runner.until(() => runner.capacity.workers === 1);
    expect(runner.capacity.slots).toBe(3);
    await worker.stop(0);
    expect(runner.capacity.workers).toBe(0);
  });

  test("has an id of its own unless it is given one", async () => {
    const workers = [await Worker.start({ broker, executor }), await Worker.start({ broker, executor })];
    expect(workers[0]!.workerId).not.toBe(workers[1]!.workerId);
    await Promise.all(workers.map((worker) => worker.stop(0)));
  });

  test("executes what runners send, and sends back how it ended", async () => {
    const worker = await Worker.start({ broker, executor: new InlineExecutor({ root: FIXTURES }) });
    const outcomes = await runner.answered(runner.send(add(1, 2, 3)));
    expect(outcomes.map(({ sequence, payload }) => [sequence, decode(payload)])).toEqual([
      [0, 2],
      [1, 3],
      [2, 4],
    ]);
    await worker.stop(LONG_SECONDS);
    expect(runner.lost).toEqual([]);
  });

  test("takes a batch only when its executor has room", async () => {
    const worker = await Worker.start({ broker, executor });
    runner.send(add(1));
    const first = await executor.running();
    const second = runner.send(add(2));
    const idle = new GatedExecutor();
    const other = await Worker.start({ broker, executor: idle });
    expect((await idle.running()).id).toBe(second.id);
    idle.end(await idle.running());
    executor.end(first);
    await Promise.all([worker.stop(LONG_SECONDS), other.stop(LONG_SECONDS)]);
    expect(runner.lost).toEqual([]);
    expect(executor.events).toEqual(["start", "execute", "close"]);
  });

  test("executes a batch that is to be alone when nothing else computes, takes no other meanwhile, and says that it has begun", async () => {
    vi.spyOn(executor, "hasRoom").mockReturnValue(true);
    const worker = await Worker.start({ broker, executor });
    runner.send(add(1));
    const first = await executor.running();
    const alone = runner.send({ ...add(2), isAlone: true });
    const third = runner.send(add(3));
    await new Promise((resolve) => setImmediate(resolve));
    expect(await executor.running()).toBe(first);
    executor.end(first);
    await runner.until(() =>
      runner.reports.some(({ batchId, started }) => batchId === alone.id && started.length === 1),
    );
    expect((await executor.running()).id).toBe(alone.id);
    executor.end(await executor.running());
    expect((await executor.running()).id).toBe(third.id);
    executor.end(await executor.running());
    await worker.stop(LONG_SECONDS);
  });

  describe("that waits for quiet with a batch that is to be alone", () => {
    let worker: Worker;
    let first: Batch;
    let alone: Batch;

    beforeEach(async () => {
      vi.spyOn(executor, "hasRoom").mockReturnValue(true);
      const waits = new Promise<void>((resolve) => {
        const quiet = executor.quiet.bind(executor);
        vi.spyOn(executor, "quiet").mockImplementation(() => {
          resolve();
          return quiet();
        });
      });
      worker = await Worker.start({ broker, executor });
      runner.send(add(1));
      first = await executor.running();
      alone = runner.send({ ...add(2), isAlone: true });
      await waits;
    });

    test("gives it back when it is asked to, so that it may run elsewhere, and takes others again", async () => {
      runner.link.handBack(alone.id);
      expect((await runner.answered(alone)).map(({ kind }) => kind)).toEqual(["unstarted"]);
      const third = runner.send(add(3));
      executor.end(first);
      expect((await executor.running()).id).toBe(third.id);
      executor.end(await executor.running());
      await worker.stop(LONG_SECONDS);
      expect(runner.lost).toEqual([]);
    });

    test("gives it back when it is cancelled: there is nothing to wait for", async () => {
      runner.link.cancel(alone.id, [0]);
      expect((await runner.answered(alone)).map(({ kind }) => kind)).toEqual(["unstarted"]);
      executor.end(first);
      await worker.stop(LONG_SECONDS);
      expect(executor.events.filter((event) => event === "execute")).toHaveLength(1);
    });

    test("keeps it when another batch is asked back", async () => {
      runner.link.handBack(first.id);
      await new Promise((resolve) => setImmediate(resolve));
      executor.end(first);
      expect((await executor.running()).id).toBe(alone.id);
      executor.end(await executor.running());
      await worker.stop(LONG_SECONDS);
    });

    test("gives it back when it stops", async () => {
      const stopped = worker.stop(LONG_SECONDS);
      expect((await runner.answered(alone)).map(({ kind }) => kind)).toEqual(["unstarted"]);
      executor.end(first);
      await stopped;
      expect(runner.lost).toEqual([]);
    });
  });

  test("that cannot start its executor does not join", async () => {
    const bad = new InlineExecutor({ root: FIXTURES });
    await expect(Worker.start({ broker, executor: bad, modules: ["missing.js"] })).rejects.toThrow(
      ModulePathError,
    );
    expect(runner.capacity.workers).toBe(0);
  });

  test("that cannot join ends its executor", async () => {
    vi.spyOn(broker, "connectWorker").mockRejectedValue(new Error("no way in"));
    await expect(Worker.start({ broker, executor })).rejects.toThrow("no way in");
    expect(executor.events).toEqual(["start", "close"]);
  });
});

describe("a worker that stops", () => {
  test("at rest leaves at once", async () => {
    const worker = await Worker.start({ broker, executor });
    await worker.stop(LONG_SECONDS);
    await runner.until(() => runner.capacity.workers === 0);
    expect(executor.events).toEqual(["start", "close"]);
  });

  test("waits for the calls that it has, takes no more, and leaves", async () => {
    const worker = await Worker.start({ broker, executor });
    const batch = runner.send(add(1, 2));
    const running = await executor.running();
    let hasStopped = false;
    const stopped = worker.stop(LONG_SECONDS).then(() => {
      hasStopped = true;
    });
    const late = runner.send(add(3));
    await new Promise((resolve) => setImmediate(resolve));
    expect(hasStopped).toBe(false);

    executor.end(running);
    await stopped;
    expect(await runner.answered(batch)).toHaveLength(2);
    expect(runner.lost).toEqual([]);
    expect(executor.events).toEqual(["start", "execute", "close"]);

    const next = new GatedExecutor();
    const successor = await Worker.start({ broker, executor: next });
    expect((await next.running()).id).toBe(late.id);
    next.end(await next.running());
    await successor.stop(LONG_SECONDS);
  });

  test("executes the batch that is just being handed over", async () => {
    const worker = await Worker.start({ broker, executor: new InlineExecutor({ root: FIXTURES }) });
    const batch = runner.send(add(1));
    await Promise.resolve(); // The broker has handed it over, and the worker has not seen it yet.
    await worker.stop(LONG_SECONDS);
    expect(await runner.answered(batch)).toHaveLength(1);
    expect(runner.lost).toEqual([]);
  });

  test("hands on what does not end within the grace: it runs elsewhere, and nobody is blamed", async () => {
    const worker = await Worker.start({ broker, executor });
    const batch = runner.send(add(1, 2));
    await executor.running();
    await worker.stop(0.01);
    expect((await runner.answered(batch)).map(({ kind }) => kind)).toEqual(["lost", "lost"]);
    expect(runner.lost).toEqual([]);
    expect(executor.events).toEqual(["start", "execute", "close"]);
  });

  test("may be told so twice", async () => {
    const worker = await Worker.start({ broker, executor });
    runner.send(add(1));
    const running = await executor.running();
    const stops = [worker.stop(LONG_SECONDS), worker.stop(0)];
    executor.end(running);
    await Promise.all(stops);
    await worker.stop(LONG_SECONDS);
    expect(executor.events).toEqual(["start", "execute", "close"]);
    expect(runner.lost).toEqual([]);
  });
});
