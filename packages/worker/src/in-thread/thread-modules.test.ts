import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ModuleImportError, ModulePathError } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../../test/support/leaks.ts";
import { UserProject } from "../../../../test/support/user-project.ts";
import { batchOf, FIXTURES, run } from "../../testing/batches.ts";
import { ThreadExecutor } from "../executors/thread-executor.ts";

let executor: ThreadExecutor;
let resources: ResourceSnapshot;

beforeEach(async () => {
  resources = await snapshotResources();
  executor = new ThreadExecutor({ threads: 1, root: FIXTURES });
});

afterEach(async () => {
  await executor.close();
  await expectReleased(resources);
});

const describeLength = (module: string) => batchOf(module, ["describe", 7], ["describe", 8]);

describe("a thread runs tasks of", () => {
  test.each([
    ["an ES module in JavaScript", "module.mjs"],
    ["a CommonJS module in JavaScript", "module.cjs"],
    ["an ES module in TypeScript", "typescript.ts"],
    ["an ES module in TypeScript, named so", "module.mts"],
    ["a CommonJS module in TypeScript, named so", "module.cts"],
  ])("%s", async (_, module) => {
    await executor.start("worker");
    expect(await run(executor, describeLength(module))).toEqual([
      { kind: "returned", value: "7 m" },
      { kind: "returned", value: "8 m" },
    ]);
  });

  test("all of these, one after the other", async () => {
    await executor.start("worker");
    for (const module of ["module.mjs", "typescript.ts", "module.cts", "module.cjs", "module.mts"]) {
      const ended = await run(executor, describeLength(module));
      expect(ended.map(({ value }) => value)).toEqual(["7 m", "8 m"]);
    }
  });

  test.each(["typescript.ts", "javascript.js"])("a CommonJS project: %s", async (file) => {
    const text = await readFile(join(FIXTURES, file.endsWith(".ts") ? "module.cts" : "module.cjs"), "utf8");
    await using project = await UserProject.make({ [file]: text }, { type: "commonjs" });
    const executor = new ThreadExecutor({ threads: 1, root: project.root });
    try {
      await executor.start("worker");
      const ended = await run(executor, describeLength(file));
      expect(ended.map(({ value }) => value)).toEqual(["7 m", "8 m"]);
    } finally {
      await executor.close();
    }
  });

  test("a module that calls and awaits a flow at top level, which never acts in a worker", async () => {
    await executor.start("worker");
    const [above] = await run(executor, batchOf("awaits-its-flow.js", ["above"]));
    expect(above).toEqual({ kind: "returned", value: "found" });
    const [next] = await run(executor, batchOf("tasks.js", ["add", 1, 1]));
    expect(next!.value).toBe(2);
  });
});

test("a module that uses another copy of millrace fails its call, and its flows do not act", async () => {
  const module = `
    import { writeFileSync } from "node:fs";
    import { flow, task } from "@millrace/core";
    export const work = task({ name: "work" }, () => "done");
    await flow({ name: "acts" }, () => writeFileSync(new URL("acted", import.meta.url), ""))();`;
  await using project = await UserProject.make({ "copied.js": module });
  await project.copyCore();
  const executor = new ThreadExecutor({ threads: 1, root: project.root });
  try {
    await executor.start("worker");
    const [ended] = await run(executor, batchOf("copied.js", ["work"]));
    expect(ended).toMatchObject({ kind: "threw-for-good", value: { code: "ERR_MODULE_IMPORT" } });
    const { cause } = ended!.value as { cause: Error };
    expect(cause).toMatchObject({ code: "ERR_SEVERAL_COPIES" });
    expect(cause.message).toContain(`${project.root}/node_modules/@millrace/core/`);
    expect(existsSync(join(project.root, "acted"))).toBe(false);
  } finally {
    await executor.close();
  }
});

describe("modules to load at the start", () => {
  test("are there before the first call", async () => {
    await executor.start("worker", ["uses-factory.js", "typescript.ts"]);
    const [ended] = await run(executor, batchOf("factory.js", ["product"]));
    expect(ended!.value).toBe("made: product");
  });

  test("may call and await a flow", async () => {
    await executor.start("worker", ["awaits-its-flow.js"]);
    const [ended] = await run(executor, batchOf("awaits-its-flow.js", ["above"]));
    expect(ended!.value).toBe("found");
  });

  test.each([
    ["missing.js", ModulePathError, /there is no such file/],
    ["throws-on-import.js", ModuleImportError, /the module's own complaint/],
  ])(
    "keep it from starting when %s cannot be loaded, and nothing is left",
    async (module, error, message) => {
      const start = executor.start("worker", ["tasks.js", module]);
      await expect(start).rejects.toThrow(error);
      await expect(start).rejects.toThrow(message);
    },
  );
});
