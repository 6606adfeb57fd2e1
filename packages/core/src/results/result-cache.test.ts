import { beforeEach, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { MemoryResultStore } from "./memory-result-store.ts";
import type { ResultStore } from "./result-store.ts";
import { taskInputHash } from "./task-input-hash.ts";

const logs = keepLogs();

let calls = 0;
beforeEach(() => {
  calls = 0;
});
const counted = task({ name: "counted", cacheKeyFn: (_, [key]) => key }, (_key: string) => ++calls);

/** A store of which one step fails. */
function failing(step: keyof ResultStore, after = 0): ResultStore {
  const store = new MemoryResultStore();
  let times = 0;
  const broken = async () => {
    throw new Error(`no ${step}`);
  };
  const real = (...args: never[]) => (store[step] as (...args: never[]) => unknown)(...args);
  return {
    read: (key) => store.read(key),
    write: (key, result) => store.write(key, result),
    claim: (key, abort) => store.claim(key, abort),
    [step]: (...args: never[]) => (times++ < after ? real(...args) : broken()),
  } as ResultStore;
}

test.each([
  ["cannot be read", failing("read")],
  ["cannot be read again, once it is claimed", failing("read", 1)],
  ["cannot be claimed", failing("claim")],
  ["cannot be written", failing("write")],
])("a store that %s costs the run its cache, never its result", async (_, resultStore) => {
  const run = () => flow({ name: "f", resultStore }, async () => [await counted("k"), await counted("k")])();
  expect(await run()).toEqual([1, 2]);
});

test("a cacheKeyFn that throws is logged, and the task runs", async () => {
  const broken = counted.withOptions({
    cacheKeyFn: () => {
      throw new Error("no key");
    },
  });
  expect(await flow({ name: "f" }, () => broken("k"))()).toBe(1);
  expect(logs()).toContainEqual(
    expect.objectContaining({ msg: "the cache could not be used, the task runs" }),
  );
});

test("a result that cannot be encoded is given, and not kept", async () => {
  const odd = task({ name: "odd", cacheKeyFn: () => "odd" }, () => {
    calls++;
    return () => {};
  });
  const run = () =>
    flow({ name: "f", resultStore: new MemoryResultStore() }, async () => [
      typeof (await odd()),
      typeof (await odd()),
    ])();
  expect(await run()).toEqual(["function", "function"]);
  expect(calls).toBe(2);
});

test("a run that is cancelled while another computes its result ends at once, and takes nothing from the other", async () => {
  const mayEnd = signal();
  const slow = task({ name: "slow", cacheKeyFn: () => "slow" }, async () => {
    await mayEnd;
    return "value";
  });
  const seen = await flow({ name: "f", resultStore: new MemoryResultStore() }, async () => {
    const [first, second] = [slow.submit(), slow.submit()];
    const state = await second.cancel();
    mayEnd.send();
    return [state.name, await first, await slow()];
  })();
  expect(seen).toEqual(["Cancelled", "value", "value"]);
});

test("taskInputHash gives no key for what cannot be encoded, and one for what goes in a circle", () => {
  const run = { taskName: "t", taskSource: "() => 1" } as Parameters<typeof taskInputHash>[0];
  const circle: Record<string, unknown> = { n: 1 };
  circle.self = [circle, new Set([circle])];
  expect(taskInputHash(run, [() => {}])).toBeUndefined();
  expect(taskInputHash(run, [circle])).toMatch(/^[0-9a-f]{64}$/);
  expect(taskInputHash(run, [1])).not.toBe(taskInputHash({ ...run, taskSource: "() => 2" }, [1]));
});
