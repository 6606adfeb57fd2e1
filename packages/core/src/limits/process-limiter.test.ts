import { afterEach, describe, expect, test, vi } from "vitest";
import { limiterContract } from "../../testing/limiter.contract.ts";
import { InvalidOptionError, LimitExceededError } from "../errors/errors.ts";
import type { SlotRequest } from "./limiter.ts";
import { ProcessLimiter } from "./process-limiter.ts";

limiterContract("ProcessLimiter", {
  open: async (limits, count) => Array.from({ length: count }, () => new ProcessLimiter(limits)),
});

const request = (name: string, more: Partial<SlotRequest> = {}): SlotRequest => ({
  names: [name],
  slots: 1,
  holder: "run",
  isRate: false,
  ...more,
});
const rate = (name: string, more: Partial<SlotRequest> = {}) => request(name, { isRate: true, ...more });

/** Has it settled, once everything that can run has? */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  await new Promise(setImmediate);
  return settled;
}

afterEach(() => {
  vi.useRealTimers();
});

test("each instance binds its own requests, and counts what others hold of the names that they limit", async () => {
  const two = new ProcessLimiter({ shared: 2 });
  const three = new ProcessLimiter({ shared: { slots: 3 } });
  const held = [await two.acquire(request("shared")), await two.acquire(request("shared"))];
  held.push(await three.acquire(request("shared")));
  const waiting = three.acquire(request("shared"));
  expect(await isSettled(waiting)).toBe(false);
  await new ProcessLimiter({}).acquire(request("shared"));
  for (const slots of held) slots.release();
  (await waiting).release();
});

test("what is no limit is refused", () => {
  for (const limit of [-1, 1.5, "2", null, { slots: 1, slotDecayPerSecond: 0 }, {}]) {
    expect(() => new ProcessLimiter({ db: limit as number })).toThrow(InvalidOptionError);
  }
});

test("it says what was asked for and what there is", async () => {
  const limiter = new ProcessLimiter({ few: 2, none: 0 });
  await expect(limiter.acquire(request("few", { slots: 3 }))).rejects.toThrow(LimitExceededError);
  await expect(limiter.acquire(request("few", { slots: 3 }))).rejects.toThrow(/at most 2 .*"few".*got 3/);
  await expect(limiter.acquire(request("none"))).rejects.toThrow(/at most 0/);
  await expect(limiter.acquire(rate("few"))).rejects.toThrow(/slotDecayPerSecond of the limit "few"/);
});

test("a hundred thousand wait under one signal, and each wake-up looks at one of them", async () => {
  const limiter = new ProcessLimiter({ crowd: 1 });
  const { signal } = new AbortController();
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  const served: number[] = [];
  const all = Array.from({ length: 100_000 }, (_, index) =>
    limiter.acquire(request("crowd", { signal })).then((slots) => {
      served.push(index);
      slots.release();
    }),
  );
  await Promise.all(all);
  await new Promise(setImmediate);
  process.off("warning", onWarning);
  expect(served.every((index, place) => index === place)).toBe(true);
  expect(warnings).toEqual([]);
});

test("a signal that takes out many serves none of them", async () => {
  const limiter = new ProcessLimiter({ stopped: 2 });
  const holder = await limiter.acquire(request("stopped"));
  const abort = new AbortController();
  const { signal } = abort;
  const stopped = [2, 1, 1].map((slots) => limiter.acquire(request("stopped", { slots, signal })));
  const other = limiter.acquire(request("stopped"));
  const outcomes = Promise.allSettled(stopped);
  abort.abort(new Error("cancelled"));
  expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  (await other).release();
  holder.release();
});

describe("slots that come back by decay", () => {
  test("serve who waits as soon as there is room, and not before", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const limiter = new ProcessLimiter({ api: { slots: 2, slotDecayPerSecond: 10 } });
    await limiter.acquire(rate("api", { slots: 2 }));
    const next = [limiter.acquire(rate("api")), limiter.acquire(rate("api", { slots: 2 }))] as const;
    vi.advanceTimersByTime(99);
    expect(await isSettled(next[0])).toBe(false);
    vi.advanceTimersByTime(1);
    await next[0];
    vi.advanceTimersByTime(199);
    expect(await isSettled(next[1])).toBe(false);
    vi.advanceTimersByTime(1);
    await next[1];
    expect(vi.getTimerCount()).toBe(0);
  });

  test("count for holders too, also for those whose own limit has no decay", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const withDecay = new ProcessLimiter({ mixed: { slots: 1, slotDecayPerSecond: 10 } });
    const without = new ProcessLimiter({ mixed: 1 });
    await withDecay.acquire(rate("mixed"));
    const holder = without.acquire(request("mixed"));
    vi.advanceTimersByTime(50);
    expect(await isSettled(holder)).toBe(false);
    vi.advanceTimersByTime(50);
    (await holder).release();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("are waited for with no timer when a holder is in the way, and none stays when the waiter leaves", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const limiter = new ProcessLimiter({ left: { slots: 1, slotDecayPerSecond: 10 } });
    const holder = await limiter.acquire(request("left"));
    const behind = limiter.acquire(rate("left"));
    expect(vi.getTimerCount()).toBe(0);
    holder.release();
    await behind;
    const abort = new AbortController();
    const waiting = limiter.acquire(rate("left", { signal: abort.signal }));
    expect(vi.getTimerCount()).toBe(1);
    abort.abort(new Error("cancelled"));
    await expect(waiting).rejects.toThrow("cancelled");
    expect(vi.getTimerCount()).toBe(0);
  });
});
