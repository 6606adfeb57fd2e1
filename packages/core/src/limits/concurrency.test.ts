import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import {
  InvalidOptionError,
  LimitExceededError,
  LimitTimeoutError,
  MissingContextError,
} from "../errors/errors.ts";
import { concurrency, rateLimit } from "./concurrency.ts";
import type { Limit } from "./limiter.ts";

const logs = keepLogs();

const inFlow = <R>(concurrencyLimits: Record<string, number | Limit>, body: () => Promise<R>) =>
  flow({ name: "limited", concurrencyLimits }, body)();

test("outside every run there is nothing that limits", async () => {
  await expect(concurrency("db", () => 1)).rejects.toThrow(MissingContextError);
  await expect(rateLimit("api")).rejects.toThrow(MissingContextError);
});

describe("concurrency", () => {
  test("gives what the function gives, now or later, and throws what it throws", async () => {
    const seen = await inFlow({ db: 1 }, async () => [
      await concurrency("db", () => "now"),
      await concurrency("db", { slots: 1 }, async () => "later"),
      await concurrency(["db"], () => {
        throw new Error("at once");
      }).catch((error: Error) => error.message),
      await concurrency(["db"], async () => {
        throw new Error("in the end");
      }).catch((error: Error) => error.message),
      await concurrency("db", () => "still free"),
    ]);
    expect(seen).toEqual(["now", "later", "at once", "in the end", "still free"]);
  });

  test("holds the slots until the function has ended, across the flow runs of a process", async () => {
    const gate = signal();
    const order: string[] = [];
    const first = inFlow({ between: 1 }, () =>
      concurrency("between", async () => {
        order.push("first begins");
        await gate;
        order.push("first ends");
      }),
    );
    const second = inFlow({ between: 1 }, () => concurrency("between", () => order.push("second")));
    await new Promise(setImmediate);
    expect(order).toEqual(["first begins"]);
    gate.send();
    await Promise.all([first, second]);
    expect(order).toEqual(["first begins", "first ends", "second"]);
  });

  test("takes several slots of several names, or says that there never are so many", async () => {
    await inFlow({ a: 2, b: 3 }, async () => {
      expect(await concurrency(["a", "b"], { slots: 2 }, () => "both")).toBe("both");
      await expect(concurrency(["a", "b"], { slots: 3 }, () => {})).rejects.toThrow(LimitExceededError);
      expect(await concurrency("b", { slots: 3 }, () => "not held by who was refused")).toBeTypeOf("string");
    });
  });

  test("gives up when the time is over, and is no longer in the way", async () => {
    await inFlow({ late: 2 }, () =>
      concurrency("late", async () => {
        const waiting = concurrency("late", { slots: 2, timeoutSeconds: 0.01 }, () => "never");
        await expect(waiting).rejects.toThrow(LimitTimeoutError);
        await expect(waiting).rejects.toThrow('"late" to be free within 0.01 s');
        expect(await concurrency("late", () => "behind")).toBe("behind");
      }),
    );
  });

  test("does not begin when its run is cancelled, whether it waits or comes late", async () => {
    const gate = signal();
    const begun: string[] = [];
    const late = signal<unknown>();
    const holder = inFlow({ cancelled: 1 }, () => concurrency("cancelled", () => gate));
    const run = flow({ name: "cancelled", concurrencyLimits: { cancelled: 1 } }, async () => {
      await concurrency("cancelled", () => begun.push("waited")).catch(() => {});
      await concurrency("free", () => begun.push("late")).catch((error: unknown) => late.send(error));
    }).start();
    await new Promise(setImmediate);
    run.cancel();
    await run.wait();
    gate.send();
    await holder;
    expect(await late).toMatchObject({ code: "ERR_CANCELLED_RUN" });
    expect(begun).toEqual([]);
  });
});

test("rateLimit lets as many pass as there are slots, and then waits for decay", async () => {
  await inFlow({ api: { slots: 1, slotDecayPerSecond: 0.001 }, plain: 1 }, async () => {
    await rateLimit("api");
    await expect(rateLimit(["api"], { timeoutSeconds: 0.01 })).rejects.toThrow(LimitTimeoutError);
    await expect(rateLimit("plain")).rejects.toThrow(InvalidOptionError);
  });
});

test("a name without a limit passes, with one warning in all", async () => {
  await inFlow({}, async () => {
    for (let time = 0; time < 3; time++)
      expect(await concurrency("typing-mistake", () => "free")).toBe("free");
    await rateLimit("typing-mistake");
  });
  expect(logs().filter(({ limit }) => limit === "typing-mistake")).toMatchObject([{ level: 40 }]);
});

test.each([
  ["no slots", ["db"], { slots: 0 }, /`slots of rateLimit\(\)` to be a whole number of 1 or more/],
  ["a time that is none", ["db"], { timeoutSeconds: -1 }, /`timeoutSeconds of rateLimit\(\)`/],
  ["an option that is none", ["db"], { timeout: 1 }, /rateLimit\(\).*`timeout`/],
  ["an empty name", [""], {}, /the names of rateLimit\(\)/],
  ["no name", undefined, {}, /the names of rateLimit\(\)/],
])("%s is refused", async (_, names, options, message) => {
  await expect(inFlow({}, () => rateLimit(names as string[], options as object))).rejects.toThrow(message);
});
