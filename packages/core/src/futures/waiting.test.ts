import { expect, it } from "vitest";
import { type Signal, signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { InvalidOptionError, WaitTimeoutError } from "../errors/errors.ts";
import type { LoopFuture } from "./future.ts";
import { asCompleted, wait } from "./waiting.ts";

const gates: Record<"a" | "b", Signal<string>> = { a: signal(), b: signal() };
const gated = task({ name: "gated" }, (name: "a" | "b") => gates[name]);
const fail = task({ name: "fail" }, (): string => {
  throw new Error("no");
});

/** Runs the body in a flow whose gates open at its end, so that nothing is left. */
const inFlow = <R>(body: () => Promise<R>) =>
  flow({ name: "test" }, async () => {
    gates.a = signal();
    gates.b = signal();
    try {
      return { seen: await body() };
    } finally {
      gates.a.send("a");
      gates.b.send("b");
    }
  })().then(({ seen }) => seen as R);

it("asCompleted gives each future when its run is final, failed ones too", async () => {
  const order = await inFlow(async () => {
    const futures = [gated.submit("a"), gated.submit("b"), fail.submit()];
    const seen: number[] = [];
    for await (const future of asCompleted([...futures, futures[0]!])) {
      seen.push(futures.indexOf(future as (typeof futures)[number]));
      gates[seen.length === 1 ? "b" : "a"].send("open");
    }
    return seen;
  });
  expect(order).toEqual([2, 1, 0]);
});

it("asCompleted says how many are left when the time is over", async () => {
  await inFlow(async () => {
    const futures = [fail.submit(), gated.submit("a")];
    await futures[0]!.wait();
    const seen: LoopFuture<string>[] = [];
    const iteration = async () => {
      for await (const future of asCompleted(futures, { timeoutSeconds: 0 })) seen.push(future);
    };
    await expect(iteration()).rejects.toThrow(WaitTimeoutError);
    await expect(iteration()).rejects.toThrow("1 (of 2) futures unfinished");
    expect(seen).toEqual([futures[0], futures[0]]);
  });
});

it("wait tells what is done from what is not, in the order of the input, and never throws", async () => {
  await inFlow(async () => {
    const futures = [gated.submit("a"), fail.submit(), gated.submit("b")] as const;
    await futures[1].wait();
    gates.b.send("b");
    await futures[2].wait();
    for (const timeoutSeconds of [0, 0.01]) {
      expect(await wait(futures, { timeoutSeconds })).toEqual({
        done: futures.slice(1),
        notDone: [futures[0]],
      });
    }
    gates.a.send("a");
    expect(await wait(futures)).toEqual({ done: futures, notDone: [] });
  });
});

it("of nothing, both are over at once", async () => {
  expect(await wait([])).toEqual({ done: [], notDone: [] });
  for await (const _ of asCompleted([])) expect.unreachable();
});

it("refuses a time that is none", async () => {
  await expect(wait([], { timeoutSeconds: -1 })).rejects.toThrow(InvalidOptionError);
  expect(() => asCompleted([], { timeoutSeconds: Number.NaN })).toThrow(InvalidOptionError);
});
