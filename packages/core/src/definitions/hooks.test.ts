import { expect, it } from "vitest";
import { z } from "zod";
import { logTo } from "../logger.ts";
import { flow } from "./flow.ts";
import type { Hook } from "./hooks.ts";
import { task } from "./task.ts";
import type { TaskOptions } from "./task-options.ts";

logTo({ write() {} });

/** Hooks that write down what they are called with, in the order of the calls. */
function recorder() {
  const seen: string[] = [];
  const hook =
    (label: string): Hook<object> =>
    (run, state) => {
      seen.push(`${label} ${state.name}${"attempt" in run ? ` ${run.attempt}` : ""}`);
    };
  return { seen, hook };
}

const broken: Hook<unknown> = () => {
  throw new Error("in a hook");
};

function runTask(options: TaskOptions, fn: () => unknown) {
  const tested = task({ name: "tested", ...options }, fn);
  return flow({ name: "test" }, async () => [(await tested.submit().wait())!.name])();
}

it("a task's hooks are called in order, with the run and its state", async () => {
  const { seen, hook } = recorder();
  const hooks = {
    onRunning: [hook("running")],
    onCompletion: [hook("first"), hook("second")],
    onFailure: [hook("no")],
  };
  expect(await runTask(hooks, () => 1)).toEqual(["Completed"]);
  expect(seen).toEqual(["running Running 1", "first Completed 1", "second Completed 1"]);
});

it("a task's failure hooks are called once, after the last attempt; its running hooks with each", async () => {
  const { seen, hook } = recorder();
  const fail = () => {
    throw new Error("no");
  };
  await runTask({ retries: 2, onRunning: [hook("running")], onFailure: [hook("failed")] }, fail);
  expect(seen).toEqual(["running Running 1", "running Retrying 2", "running Retrying 3", "failed Failed 3"]);
});

it("a hook that throws changes nothing, and the others are called", async () => {
  const { seen, hook } = recorder();
  expect(await runTask({ onRunning: [broken], onCompletion: [broken, hook("after")] }, () => 1)).toEqual([
    "Completed",
  ]);
  expect(seen).toEqual(["after Completed 1"]);
});

it("the flow run does not end before the hooks of its tasks", async () => {
  let ended = false;
  const slow = async () => {
    await new Promise(setImmediate);
    ended = true;
  };
  const tested = task({ name: "tested", onCompletion: [slow] }, () => 1);
  await flow({ name: "test" }, () => void tested.submit())();
  expect(ended).toBe(true);
});

it("a flow's hooks are called with its run: one that fails, one that cannot start, and one that ends well", async () => {
  const { seen, hook } = recorder();
  const options = {
    name: "test",
    onRunning: [broken, hook("running")],
    onCompletion: [hook("completed")],
    onFailure: [hook("failed")],
    onCrashed: [hook("crashed")],
  };
  const crashing = { name: "none", open: () => Promise.reject(new Error("no cluster")) };
  await flow(options, () => 1)
    .start()
    .wait();
  await flow(options, () => Promise.reject(new Error("no")))
    .start()
    .wait();
  await flow({ ...options, parameters: z.object({ n: z.number() }) }, () => 1)
    .start({} as never)
    .wait();
  await flow({ ...options, taskRunner: crashing }, () => 1)
    .start()
    .wait();
  expect(seen).toEqual([
    "running Running 1",
    "completed Completed 1",
    "running Running 1",
    "failed Failed 1",
    "failed Failed 0",
    "crashed Crashed 0",
  ]);
});

it("a flow that does not validate gets its parameters as they came", async () => {
  const schema = z.object({ n: z.coerce.number() });
  const options = { name: "test", parameters: schema, validateParameters: false };
  expect(await flow(options, (given) => given)({ n: "5" } as never)).toEqual({ n: "5" });
});
