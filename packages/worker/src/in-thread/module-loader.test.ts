import { ModuleImportError, ModulePathError, TaskNotFoundError } from "@millrace/core";
import { beforeEach, describe, expect, test } from "vitest";
import { FIXTURES } from "../../testing/batches.ts";
import { ModuleLoader } from "./module-loader.ts";

let loader: ModuleLoader;

beforeEach(() => {
  loader = new ModuleLoader(FIXTURES);
});

const find = (module: string, name: string, entry?: string) => loader.find({ module, name, entry });

describe("a task", () => {
  test("is found in its module, and known from then on", async () => {
    const reference = { module: "tasks.js", name: "add", entry: undefined };
    expect(loader.known(reference)).toBeUndefined();
    const task = await loader.find(reference);
    expect(task.name).toBe("add");
    expect(loader.known({ ...reference })).toBe(task);
    expect(await loader.find(reference)).toBe(task);
  });

  test("made by a factory is found through the entry module", async () => {
    await expect(find("factory.js", "product")).rejects.toThrow(TaskNotFoundError);
    expect((await find("factory.js", "product", "uses-factory.js")).name).toBe("product");
  });

  test("that is nowhere is an error which names the tasks that there are", async () => {
    await expect(find("tasks.js", "unknown", "uses-factory.js")).rejects.toThrow(
      /Expected module tasks\.js to define a task named "unknown", found the tasks "add", "echo"/,
    );
  });

  test("whose module awaits something endless below it is found all the same", async () => {
    expect((await find("never-ends.js", "above")).name).toBe("above");
  });
});

describe("a module", () => {
  test.each([
    ["missing.js", ModulePathError],
    ["../batches.ts", ModulePathError],
    ["throws-on-import.js", ModuleImportError],
  ])("%s cannot be loaded ahead", async (module, error) => {
    await expect(loader.preload(module)).rejects.toThrow(error);
  });

  test("that was loaded ahead has its tasks there", async () => {
    await loader.preload("uses-factory.js");
    expect((await find("factory.js", "product")).name).toBe("product");
  });

  test("that failed is not imported again, and says why each time", async () => {
    const [first, second] = await Promise.allSettled([
      find("throws-after-its-task.js", "early"),
      find("throws-after-its-task.js", "early"),
    ]);
    expect([first, second].map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(find("throws-after-its-task.js", "early")).rejects.toThrow(/below the task/);
  });
});
