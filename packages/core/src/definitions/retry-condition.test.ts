import { expect, it } from "vitest";
import { type RetryCondition, task } from "../index.ts";
import { logTo } from "../logger.ts";
import { flow } from "./flow.ts";

logTo({ write() {} });

let tasks = 0;

async function attemptsOf(retryConditionFn: RetryCondition, retries = 3): Promise<number> {
  let attempts = 0;
  const tested = task({ name: `tested-${++tasks}`, retries, retryConditionFn }, () => {
    attempts++;
    throw new RangeError(`attempt ${attempts}`);
  });
  const state = await flow({ name: "test" }, async () => [(await tested.submit().wait())!.name])();
  expect(state).toEqual(["Failed"]);
  return attempts;
}

it("is asked with the run and its failed state, and decides", async () => {
  const asked: unknown[] = [];
  const attempts = await attemptsOf((run, { type, data }) => {
    asked.push([run.attempt, type, (data as Error).message]);
    return run.attempt < 2;
  });
  expect(attempts).toBe(2);
  expect(asked).toEqual([
    [1, "FAILED", "attempt 1"],
    [2, "FAILED", "attempt 2"],
  ]);
});

it("may be asynchronous", async () => {
  expect(await attemptsOf(async () => true)).toBe(4);
  expect(await attemptsOf(async () => 0)).toBe(1);
});

it("that throws counts as no", async () => {
  const broken = () => {
    throw new Error("in the condition");
  };
  expect(await attemptsOf(broken)).toBe(1);
});

it("is not asked when no attempt is left", async () => {
  let asked = 0;
  await attemptsOf(() => ++asked, 0);
  expect(asked).toBe(0);
});
