import { expect, it } from "vitest";
import { TaskFuture } from "../futures/future.ts";
import { allowFailure, quote } from "./annotations.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";

const fail = task({ name: "fail" }, (message: string): number => {
  throw new RangeError(message);
});
const echo = task({ name: "echo" }, (value: unknown) => value);
const double = task({ name: "double" }, (n: number) => 2 * n);

const holdsFuture = task(
  { name: "holds-future" },
  (value: { part: unknown }) => value.part instanceof TaskFuture,
);

const inFlow = <R>(body: () => R) =>
  flow({ name: "test" }, async () => quote(await body()))() as Promise<Awaited<R>>;

it("allowFailure passes the error of a failed run in the place of its value", async () => {
  const seen = await inFlow(() =>
    echo({ a: [allowFailure(fail.submit("no"))], b: allowFailure(double.submit(2)) }),
  );
  expect(seen).toEqual({ a: [new RangeError("no")], b: 4 });
});

it("allowFailure holds for all futures inside it, and only there", async () => {
  const [inside, outside] = await inFlow(async () => {
    const failed = fail.submit("no");
    const states = [echo.submit(allowFailure([failed, failed])), echo.submit([allowFailure(failed), failed])];
    return Promise.all(states.map((future) => future.wait()));
  });
  expect(inside?.data).toEqual([new RangeError("no"), new RangeError("no")]);
  expect(outside?.name).toBe("NotReady");
});

it("allowFailure does not pass a run that never ran", async () => {
  const state = await inFlow(() => echo.submit(allowFailure(double.submit(fail.submit("no")))).wait());
  expect(state?.name).toBe("NotReady");
});

it("allowFailure works in waitFor and in map", async () => {
  const [after, mapped] = await inFlow(async () => {
    const failed = fail.submit("no");
    const after = double.withOptions({ waitFor: [allowFailure(failed)] }).submit(1);
    return [await after, await echo.map(allowFailure([failed, 1])).results()] as const;
  });
  expect(after).toBe(2);
  expect(mapped).toEqual([new RangeError("no"), 1]);
});

it("quote passes a value as it is: nothing in it is waited for or replaced", async () => {
  expect(await inFlow(() => holdsFuture(quote({ part: fail.submit("no") })))).toBe(true);
});

it("a quoted iterable is mapped, each element quoted", async () => {
  expect(await inFlow(() => double.map(quote([1, 2])).results())).toEqual([2, 4]);
});
