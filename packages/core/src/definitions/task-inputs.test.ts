import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import type { TaskFuture } from "../futures/future.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";

keepLogs();

const give = task({ name: "give" }, <T>(value: T) => value);
const take = task({ name: "take" }, (value: unknown) => value);
const fails = task({ name: "fails" }, (): number => {
  throw new Error("boom");
});
const inFlow = <R>(fn: () => R) => flow({ name: "f" }, fn)();

describe("futures among the arguments are replaced by their values", () => {
  test.each([
    ["alone", () => give.submit(1), 1],
    ["in an array", () => [give.submit(1), 2], [1, 2]],
    ["in an object", () => ({ a: give.submit(1), b: 2 }), { a: 1, b: 2 }],
    [
      "in a Map, as key and as value",
      () => new Map([[give.submit("k"), give.submit("v")]]),
      new Map([["k", "v"]]),
    ],
    ["in a Set", () => new Set([give.submit(1)]), new Set([1])],
    [
      "deep down",
      () => ({ rows: [{ ids: new Set([[give.submit(1)]]) }] }),
      { rows: [{ ids: new Set([[1]]) }] },
    ],
  ])("%s", async (_, makeArgument, expected) => {
    expect(await inFlow(() => take.submit(makeArgument()))).toEqual(expected);
  });

  test("in a value that holds itself", async () => {
    const result = await inFlow(() => {
      const loop: Record<string, unknown> = { n: give.submit(1) };
      loop.self = loop;
      return take(loop) as Promise<typeof loop>;
    });
    expect(result.n).toBe(1);
    expect(result.self).toBe(result);
  });

  test("the caller's own value is left as it was", async () => {
    await inFlow(async () => {
      const argument = { n: give.submit(1) };
      const { n } = argument;
      await take(argument);
      expect(argument.n).toBe(n);
    });
  });

  test("values without futures arrive as the same object", async () => {
    const row = { id: 1 };
    expect(await inFlow(async () => ({ same: (await take(row)) === row }))).toEqual({ same: true });
  });

  test("a value that is itself a future's result is not searched again", async () => {
    expect(await inFlow(() => take.submit(give.submit(give.submit(1))))).toBe(1);
  });
});

describe("waitFor", () => {
  test("holds a run back until the others are completed, in this order", async () => {
    const order: string[] = [];
    const mayEnd = signal();
    const first = task({ name: "first" }, async () => {
      await mayEnd;
      order.push("first");
    });
    const second = task({ name: "second" }, (word: string) => void order.push(word));
    await inFlow(() => {
      const future = first.submit();
      second.withOptions({ waitFor: [future] }).submit("second");
      mayEnd.send();
    });
    expect(order).toEqual(["first", "second"]);
  });

  test("goes with inputs, and with runs that are final already", async () => {
    const sum = await inFlow(async () => {
      const done = give.submit(1);
      await done;
      return take.withOptions({ waitFor: [done, give.submit(2)] })(give.submit(3));
    });
    expect(sum).toBe(3);
  });

  test("of a failed run leaves the run NotReady", async () => {
    await inFlow(async () => {
      const failed = fails.submit();
      expect(
        await take
          .withOptions({ waitFor: [failed] })
          .submit(1)
          .wait(),
      ).toMatchObject({
        type: "PENDING",
        name: "NotReady",
        message: `Upstream task run '${failed.taskRunId}' did not reach a 'COMPLETED' state.`,
      });
    }).catch(() => {});
  });
});

describe("a run whose input failed", () => {
  test("is NotReady, is never called, and names its own direct upstream, as do those behind it", async () => {
    let calls = 0;
    const count = task({ name: "count" }, (_: number) => ++calls);
    const seen = await inFlow(async () => {
      const failed = fails.submit();
      const behind = count.submit(failed);
      const states = [await behind.wait(), await count.submit(behind).wait()];
      return { states, upstream: [failed.taskRunId, behind.taskRunId] };
    });
    expect(calls).toBe(0);
    expect(seen.states).toMatchObject(
      seen.upstream.map((id) => ({
        type: "PENDING",
        name: "NotReady",
        message: `Upstream task run '${id}' did not reach a 'COMPLETED' state.`,
      })),
    );
  });

  test("names the first of its inputs that failed", async () => {
    const { message, id } = await inFlow(async () => {
      const first = fails.submit();
      const state = await take.submit([give.submit(1), first, fails.submit()]).wait();
      return { message: state?.message, id: first.taskRunId };
    });
    expect(message).toContain(id);
  });

  test("is not tried again, whatever its retries", async () => {
    const state = await inFlow(async () => ({
      state: await take.withOptions({ retries: 3 }).submit(fails.submit()).wait(),
    }));
    expect(state.state).toMatchObject({ name: "NotReady" });
  });
});

describe("a chain of 100,000 runs", () => {
  const next = task({ name: "next" }, (n: number) => n + 1);
  const chain = (head: TaskFuture<number>) => {
    let last = head;
    for (let n = 0; n < 100_000; n++) last = next.submit(last);
    return last;
  };

  test("gives its value", async () => {
    expect(await inFlow(() => chain(next.submit(-1)))).toBe(100_000);
  });

  test("behind a failure is NotReady to its end", async () => {
    const end = await inFlow(async () => ({ state: await chain(fails.submit()).wait() }));
    expect(end.state).toMatchObject({ name: "NotReady" });
  });
});
