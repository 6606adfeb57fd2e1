/** Flow retries, and results that are used again, on every runner. */
import { flow, MemoryResultStore, storedResult } from "@millrace/core";
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function repeatingContract(runner: RunnerUnderTest): void {
  const { name, exceptions = {} } = runner;
  const { path, read, inFlow, start } = useWorkshop(runner);

  describe(`the ${name} task runner: flow retries`, () => {
    test("task runs that completed are not run again, those that failed are, by task and position", async () => {
      const ids: string[][] = [];
      const run = start(
        async () => {
          const futures = [tasks.counted.submit(path("a"), 1), tasks.counted.submit(path("a"), 2)];
          const risky = tasks.failFirst.submit(path("b"), 1);
          ids.push([...futures, risky].map((future) => future.taskRunId));
          return [await futures[0], await futures[1], await risky];
        },
        { retries: 2 },
      );
      expect(await run.result()).toEqual([expect.any(Number), expect.any(Number), 2]);
      expect(await read("a")).toBe("xx");
      expect(await read("b")).toBe("xx");
      expect(ids[1]).toEqual(ids[0]);
    });

    test("failed task runs get a fresh budget: (task retries + 1) × (flow retries + 1) calls", async () => {
      const run = start(() => tasks.failFirst.withOptions({ retries: 1 })(path("a"), 100), { retries: 2 });
      expect(await run.wait()).toMatchObject({ type: "FAILED" });
      expect(await read("a")).toBe("xxxxxx");
    });

    test("a subflow that completed is not run again", async () => {
      const child = flow({ name: "child", taskRunner: runner.makeRunner() }, () => tasks.counted(path("a")));
      const run = start(async () => [await child(), await tasks.failFirst(path("b"), 1)], { retries: 1 });
      expect(await run.result()).toEqual([1, 2]);
      expect(await read("a")).toBe("x");
    });

    test("without retries nothing is tried again", async () => {
      expect(await start(() => tasks.failFirst(path("a"), 1)).wait()).toMatchObject({ type: "FAILED" });
      expect(await read("a")).toBe("x");
    });
  });

  describe(`the ${name} task runner: caching`, () => {
    const inCache = (fn: () => unknown, more = {}) =>
      inFlow(fn, { resultStore: new MemoryResultStore(), ...more });

    test("a call whose key is known ends Cached with the known result, and does not run", async () => {
      const seen = await inCache(async () => {
        const first = await tasks.cachedByName(path("a"), "k");
        const again = tasks.cachedByName.submit(path("a"), "k");
        return [first, await again, again.state.type, again.state.name];
      });
      expect(seen).toEqual([1, 1, "COMPLETED", "Cached"]);
      expect(await read("a")).toBe("x");
    });

    test("another flow run with the same store finds it", async () => {
      const resultStore = new MemoryResultStore();
      const fn = () => tasks.cachedByName(path("a"), "k");
      expect([await inCache(fn, { resultStore }), await inCache(fn, { resultStore })]).toEqual([1, 1]);
    });

    test("null is a result like any other", async () => {
      const seen = await inCache(async () => {
        const values = [
          await tasks.cachedByName(path("a"), "k", null),
          await tasks.cachedByName(path("a"), "k", null),
        ];
        return { values };
      });
      expect(seen).toEqual({ values: [null, null] });
      expect(await read("a")).toBe("x");
    });

    test("without a key nothing is cached, and other keys are other results", async () => {
      const seen = await inCache(async () => [
        await tasks.cachedByName(path("a"), undefined),
        await tasks.cachedByName(path("a"), undefined),
        await tasks.cachedByName(path("a"), "k"),
        await tasks.cachedByName(path("a"), "l"),
      ]);
      expect(seen).toEqual([1, 2, 3, 4]);
    });

    test("of equal calls at once, one computes", async () => {
      const seen = await inCache(() =>
        tasks.cachedByName.map(new Array<string>(20).fill(path("a")), "k").results(),
      );
      expect(seen).toEqual(new Array(20).fill(1));
      expect(await read("a")).toBe("x");
    });

    test("an expired result is computed again", async () => {
      const expired = tasks.cachedByName.withOptions({ cacheExpirationSeconds: -1 });
      const lasting = tasks.cachedByName.withOptions({ cacheExpirationSeconds: 3600 });
      const seen = await inCache(async () => [
        await expired(path("a"), "k"),
        await lasting(path("a"), "k"),
        await lasting(path("a"), "k"),
      ]);
      expect(seen).toEqual([1, 2, 2]);
    });

    test("refreshCache computes again, and later calls get the new result", async () => {
      const fresh = tasks.cachedByName.withOptions({ refreshCache: true });
      const seen = await inCache(async () => [
        await tasks.cachedByName(path("a"), "k"),
        await fresh(path("a"), "k"),
        await tasks.cachedByName(path("a"), "k"),
      ]);
      expect(seen).toEqual([1, 2, 2]);
    });

    test("a failure is not cached, and those that waited for it try themselves", async () => {
      const seen = await inCache(async () => {
        const futures = tasks.cachedFailure.map(new Array<string>(4).fill(path("a")));
        return (await futures.wait()).map((state) => state.name).sort();
      });
      expect(seen).toEqual(["Cached", "Completed", "Failed", "Failed"]);
    });

    test("taskInputHash: equal arguments, in whatever order their properties were written, are one call", async () => {
      const seen = await inCache(async () => [
        await tasks.cachedByInput(path("a"), { x: 1, y: [new Date(0), new Map([["k", 1n]])] }),
        await tasks.cachedByInput(path("a"), { y: [new Date(0), new Map([["k", 1n]])], x: 1 }),
        await tasks.cachedByInput(path("a"), { x: 2 }),
      ]);
      expect(seen).toEqual([1, 1, 2]);
    });

    test("a task inside a task uses the cache of its flow", async () => {
      const seen = await inCache(async () => [
        await tasks.cachedByName(path("a"), "k"),
        await tasks.callCached(path("a"), "k"),
        await tasks.callCached(path("a"), "other"),
        await tasks.cachedByName(path("a"), "other"),
      ]);
      expect(seen).toEqual([1, 1, 2, 2]);
    });

    test("a flow inside a flow keeps its results where its parent does, unless it says otherwise", async () => {
      const child = flow({ name: "child", taskRunner: runner.makeRunner() }, () =>
        tasks.cachedByName(path("a"), "k"),
      );
      const apart = child.withOptions({ resultStore: new MemoryResultStore() });
      const seen = await inCache(async () => [
        await child(),
        await tasks.cachedByName(path("a"), "k"),
        await apart(),
      ]);
      expect(seen).toEqual([1, 1, 2]);
    });

    test.skipIf(exceptions.runsOneAtATime)("a cached result needs no slot of a limit", async () => {
      const seen = await inCache(
        async () => {
          await tasks.cachedByName(path("a"), "k");
          const holder = tasks.limitedHeed.submit(path("b"));
          while ((await read("b.started")) === "" && !holder.state.isRunning())
            await new Promise(setImmediate);
          const cached = await tasks.cachedLimited(path("a"), "k");
          await holder.cancel();
          return cached;
        },
        { concurrencyLimits: { db: 1 } },
      );
      expect(seen).toBe(1);
    });

    test("persistResult keeps the results of the run and of its tasks under their ids", async () => {
      const resultStore = new MemoryResultStore();
      const ids: string[] = [];
      const run = start(
        async () => {
          const future = tasks.add.submit(1, 2);
          ids.push(future.taskRunId, tasks.add.withOptions({ persistResult: false }).submit(1, 1).taskRunId);
          return new Map([["sum", await future]]);
        },
        { persistResult: true, resultStore },
      );
      await run.result();
      expect(await storedResult(run.id, { resultStore })).toEqual({ value: new Map([["sum", 3]]) });
      expect(await storedResult(ids[0]!, { resultStore })).toEqual({ value: 3 });
      expect(await storedResult(ids[1]!, { resultStore })).toBeUndefined();
    });
  });
}
