import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runNode } from "../../testing/run-node.ts";
import { DuplicateTaskNameError } from "../errors/errors.ts";
import { findTask, registrationModule, taskNames, taskRegistered } from "./registry.ts";
import { task } from "./task.ts";

const fixture = (name: string) => new URL(`../../testing/fixtures/${name}`, import.meta.url).href;
const reloaded = fixture("reloaded-tasks.ts");

test("a task is found by its module and its name, once the module is imported", async () => {
  expect(findTask(reloaded, "greet")).toBeUndefined();
  const registered = taskRegistered(reloaded, "greet");
  await import(reloaded);
  expect(findTask(reloaded, "greet")).toMatchObject({ name: "greet" });
  expect(await registered).toBe(findTask(reloaded, "greet"));
  expect(await taskRegistered(reloaded, "greet")).toBe(findTask(reloaded, "greet"));
  expect(taskNames(reloaded)).toEqual(["greet"]);
});

test("a module evaluated again, as in watch mode, replaces its tasks", async () => {
  const { stdout, stderr } = await runNode(`
    import { findTask, taskNames } from "@millrace/core/internal";
    const module = ${JSON.stringify(fixture("reloaded-tasks.mjs"))};
    await import(module);
    const first = findTask(module, "greet");
    await import(module + "?v=2");
    const second = findTask(module, "greet");
    console.log(JSON.stringify({ isReplaced: first !== second, names: taskNames(module) }));
  `);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({ isReplaced: true, names: ["greet", "red", "green"] });
});

test("two tasks of one name in one module are an error that has both places", async () => {
  const module = fixture("duplicate-names.ts");
  const imported = import(module);
  await expect(imported).rejects.toThrow(DuplicateTaskNameError);
  await expect(imported).rejects.toThrow(
    `the tasks of ${fileURLToPath(module)} to have different names, got two named "same"`,
  );
  await expect(imported).rejects.toThrow(
    /\(at \d+:\d+ and at \d+:\d+\)\. Rename one with task\(\{ name \}, fn\)\./,
  );
});

test("tasks that a factory makes are registered under the factory's module", async () => {
  await import(fixture("factory-user.ts"));
  expect(taskNames(fixture("task-factory.ts"))).toEqual(["red", "green"]);
  expect(taskNames(fixture("factory-user.ts"))).toEqual([]);
});

test("withOptions registers nothing", async () => {
  const { greet } = await import(reloaded);
  const registered = findTask(reloaded, "greet");
  greet.withOptions({ retries: 3 });
  expect(findTask(reloaded, "greet")).toBe(registered);
});

test("the module option says where workers look for the task, as URL or as path", () => {
  const bundle = fixture("bundle.ts");
  task({ name: "bundled", module: `${bundle}?v=1` }, () => 1);
  task({ name: "by-path", module: fileURLToPath(bundle) }, () => 1);
  expect(taskNames(bundle)).toEqual(["bundled", "by-path"]);
  expect(registrationModule(findTask(bundle, "bundled")!)).toBe(bundle);
});

test("a module that nobody imported has no tasks", () => {
  expect(taskNames(fixture("unknown.ts"))).toEqual([]);
});
