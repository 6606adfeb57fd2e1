import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { CancelledRunError, CrashedRunError, FailedRunError, UnfinishedRunError } from "../errors/errors.ts";
import { Cancelled, Completed, Crashed, Failed, State } from "../futures/state.ts";

keepLogs();

const boom = new Error("boom");
const ok = task({ name: "ok" }, (value: unknown = "value") => value);
const fails = task({ name: "fails" }, (error: unknown = boom): unknown => {
  throw error;
});
const cancels = task({ name: "cancels" }, () => Cancelled({ message: "not today" }));

/** The final state of a flow with this function. */
const ending = (fn: () => unknown): Promise<State> => flow({ name: "f" }, fn).start().wait();
const resultOf = (fn: () => unknown): Promise<unknown> => flow({ name: "f" }, fn)();

describe("a flow that returns nothing takes its state from all of its task runs", () => {
  test("none: completed", async () => {
    expect(await ending(() => {})).toMatchObject({ type: "COMPLETED", data: undefined });
  });

  test("all completed: completed", async () => {
    expect(await ending(() => void [ok.submit(), ok.submit()])).toMatchObject({
      type: "COMPLETED",
      message: "All states completed.",
      data: undefined,
    });
  });

  test("some failed: failed, and the message counts", async () => {
    const state = await ending(() => void [ok.submit(), fails.submit(), fails.submit()]);
    expect(state).toMatchObject({ type: "FAILED", message: "2/3 states failed." });
  });

  test("runs that never started because of a failed one count as not failed", async () => {
    expect(await ending(() => void ok.submit(fails.submit()))).toMatchObject({
      message: "1/2 states failed.",
    });
  });

  test("some cancelled: cancelled", async () => {
    expect(await ending(() => void [ok.submit(), fails.submit(), cancels.submit()])).toMatchObject({
      type: "CANCELLED",
      message: "1/3 states cancelled.",
    });
    await expect(resultOf(() => void cancels.submit())).rejects.toThrow(new CancelledRunError("not today"));
  });

  test("the first failure in order of submission is thrown, though another failed first", async () => {
    const first = new Error("first");
    const failsLater = task({ name: "later" }, () => new Promise((_, reject) => setImmediate(reject, first)));
    await expect(resultOf(() => void [ok.submit(), failsLater.submit(), fails.submit()])).rejects.toBe(first);
  });

  test("tasks called directly count, also when their error was caught", async () => {
    const state = await ending(async () => {
      await fails().catch(() => {});
    });
    expect(state).toMatchObject({ type: "FAILED", message: "1/1 states failed.", data: boom });
  });

  test("tasks that tasks called do not count", async () => {
    const outer = task({ name: "outer" }, () => void fails.submit());
    expect(await ending(() => void outer.submit())).toMatchObject({ type: "COMPLETED" });
  });
});

test("a flow that returns an ordinary value is completed, whatever its tasks did", async () => {
  for (const value of [null, 0, "", false, {}, []]) {
    const state = await ending(() => {
      fails.submit();
      return value;
    });
    expect(state).toMatchObject({ type: "COMPLETED", data: value });
  }
});

test("an exception wins over every other rule", async () => {
  const state = await ending(() => {
    ok.submit();
    throw boom;
  });
  expect(state).toMatchObject({
    type: "FAILED",
    data: boom,
    message: "Flow run encountered an exception: Error: boom",
  });
});

describe("a returned state made by hand is the final state", () => {
  test.each([
    Completed({ name: "Skipped", message: "nothing new", data: 0 }),
    Failed({ message: "no rows", data: boom }),
    Cancelled({ message: "holiday" }),
    Crashed({ message: "no power" }),
  ])("$type", async (state) => {
    const { type, name, message, data } = state;
    expect(await ending(() => state)).toMatchObject({ type, name, message, data });
  });

  test("the call gives its data, or throws an error of its kind", async () => {
    expect(await resultOf(() => Completed({ data: 42 }))).toBe(42);
    await expect(resultOf(() => Failed({ data: boom }))).rejects.toBe(boom);
    await expect(resultOf(() => Failed({ message: "no rows" }))).rejects.toThrow(
      new FailedRunError("no rows"),
    );
    await expect(resultOf(() => Failed({ data: "no rows" }))).rejects.toThrow(new FailedRunError("no rows"));
    await expect(resultOf(() => Cancelled({ message: "holiday" }))).rejects.toThrow(
      new CancelledRunError("holiday"),
    );
    await expect(resultOf(() => Crashed({ message: "no power" }))).rejects.toThrow(
      new CrashedRunError("no power"),
    );
    await expect(resultOf(() => Crashed())).rejects.toThrow(/Flow run .* of "f" ended CRASHED/);
  });

  test("one that is not final fails the run, which could not go on from it", async () => {
    for (const state of [new State("RUNNING"), new State("PENDING"), new State("SCHEDULED")]) {
      expect(await ending(() => state)).toMatchObject({
        type: "FAILED",
        message: "1/1 states are not final.",
      });
    }
  });
});

describe("returned states of runs decide together", () => {
  test("of a completed run: completed with its value", async () => {
    expect(await resultOf(() => ok.submit(5).wait())).toBe(5);
  });

  test("of a failed run: failed with its error", async () => {
    expect(await ending(() => fails.submit().wait())).toMatchObject({
      type: "FAILED",
      message: "1/1 states failed.",
    });
    await expect(resultOf(() => fails.submit().wait())).rejects.toBe(boom);
  });

  test("a list or a set, of which all, some or none completed", async () => {
    const states = async () => [await ok.submit().wait(), await fails.submit().wait()];
    expect(await ending(states)).toMatchObject({ type: "FAILED", message: "1/2 states failed.", data: boom });
    expect(await ending(async () => new Set(await states()))).toMatchObject({
      message: "1/2 states failed.",
    });
    const completed = [Completed({ data: 1 }), Completed({ data: 2 })];
    expect(await ending(() => completed)).toMatchObject({ type: "COMPLETED", data: completed });
    expect(await ending(() => [Failed(), Cancelled()])).toMatchObject({ message: "1/2 states cancelled." });
    expect(await ending(() => [Crashed(), Completed()])).toMatchObject({ message: "1/2 states failed." });
  });

  test("the error has the words of the state that failed", async () => {
    await expect(resultOf(() => [Completed(), Failed({ message: "no rows" })])).rejects.toThrow("no rows");
    await expect(resultOf(() => ok.submit(fails.submit()).wait())).rejects.toThrow(UnfinishedRunError);
    await expect(resultOf(() => [Crashed()])).rejects.toThrow(CrashedRunError);
  });

  test("a list with anything else in it is an ordinary value", async () => {
    for (const value of [[Failed(), "x"], { state: Failed() }, []]) {
      expect(await ending(() => value)).toMatchObject({ type: "COMPLETED", data: value });
    }
  });
});

describe("returned futures become their values", () => {
  test("one, alone", async () => {
    expect(await resultOf(() => ok.submit(1))).toBe(1);
    await expect(resultOf(() => fails.submit())).rejects.toBe(boom);
  });

  test("a list, a set, and what map gives", async () => {
    expect(await resultOf(() => [ok.submit(1), ok.submit(2)])).toEqual([1, 2]);
    expect(await resultOf(() => new Set([ok.submit(1), ok.submit(2)]))).toEqual(new Set([1, 2]));
    expect(await resultOf(() => ok.map([1, 2]))).toEqual([1, 2]);
  });

  test("a list of which some failed takes its state from them", async () => {
    const state = await ending(() => [ok.submit(), fails.submit(), ok.submit(fails.submit())]);
    expect(state).toMatchObject({ type: "FAILED", message: "1/3 states failed.", data: boom });
  });

  test("a list of futures and states, mixed", async () => {
    expect(await resultOf(() => [ok.submit(1), Completed({ data: 2 })])).toMatchObject([
      1,
      { type: "COMPLETED" },
    ]);
    expect(await ending(() => [ok.submit(1), Failed()])).toMatchObject({ message: "1/2 states failed." });
  });

  test("at any depth of other values", async () => {
    const value = () => ({
      total: ok.submit(3),
      rows: [{ id: ok.submit(1) }],
      byName: new Map([["a", ok.submit(2)]]),
    });
    expect(await resultOf(value)).toEqual({ total: 3, rows: [{ id: 1 }], byName: new Map([["a", 2]]) });
  });

  test("a failed one inside another value leaves no value to give: the run fails with its error", async () => {
    expect(await ending(() => ({ rows: fails.submit() }))).toMatchObject({ type: "FAILED", data: boom });
  });
});

describe("the same rules make the state of a task run", () => {
  const stateOf = (fn: () => unknown) => task({ name: "t" }, fn).submit().wait();

  test.each([
    ["a state made by hand", () => Failed({ message: "no rows" }), { type: "FAILED", message: "no rows" }],
    [
      "a state that is not final",
      () => new State("RUNNING"),
      { type: "FAILED", message: "1/1 states are not final." },
    ],
    ["a list of states", () => [Failed(), Completed()], { type: "FAILED", message: "1/2 states failed." }],
    ["a future", () => ok.submit(1), { type: "COMPLETED", data: 1 }],
    [
      "a list of futures",
      () => [ok.submit(1), fails.submit()],
      { type: "FAILED", message: "1/2 states failed." },
    ],
    ["an object with a future", () => ({ n: ok.submit(1) }), { type: "COMPLETED", data: { n: 1 } }],
    ["nothing, after a task that failed", () => void fails.submit(), { type: "COMPLETED", data: undefined }],
  ])("%s", async (_, fn, expected) => {
    const state = await flow({ name: "f" }, async () => ({ state: await stateOf(fn) }))();
    expect(state.state).toMatchObject(expected);
  });
});
