import { ModuleImportError, ModulePathError, NotEncodableError, TaskNotFoundError } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "../../../test/support/leaks.ts";
import type { Executor } from "../src/executor.ts";
import { batchOf, type CallOf, Execution, FIXTURES, run } from "./batches.ts";
import { describeEarlyEndings } from "./executor-endings.contract.ts";
import { describeGraphs } from "./executor-graphs.contract.ts";
import { describeNesting } from "./executor-nesting.contract.ts";
import { describeValues } from "./executor-values.contract.ts";
import { FileGate } from "./file-gate.ts";

/** What every executor keeps to, wherever it runs the calls. `make` gives one that is not started. */
export function executorContract(
  name: string,
  make: (options: { readonly root: string; readonly callsPerThread?: number }) => Executor,
): void {
  describe(`${name} keeps the contract of executors:`, () => {
    let executor: Executor;
    let gate: FileGate;
    let resources: ResourceSnapshot;

    beforeEach(async () => {
      resources = await snapshotResources();
      gate = await FileGate.make();
      executor = make({ root: FIXTURES, callsPerThread: 1 });
      await executor.start("worker");
    });

    afterEach(async () => {
      await Promise.all([executor.close(), executor.close()]);
      await gate.remove();
      await expectReleased(resources);
    });

    const execute = (...calls: CallOf[]) => new Execution(executor, batchOf("tasks.js", ...calls));

    describe("a batch", () => {
      test("has each of its calls reported once, the last report being marked", async () => {
        const calls = Array.from({ length: 500 }, (_, index): CallOf => ["add", index, 1]);
        const execution = execute(...calls);
        expect(await execution.outcomes).toEqual(
          calls.map((_, index) => ({ kind: "returned", value: index + 1 })),
        );
        expect(execution.problems).toEqual([]);
        expect(execution.reports.length).toBeLessThan(500);
      });

      test("goes on beside others", async () => {
        const executions = Array.from({ length: 20 }, (_, batch) =>
          execute(["echo", batch], ["echoLater", batch]),
        );
        const all = await Promise.all(executions.map(({ outcomes }) => outcomes));
        expect(all.map((ended) => ended.map(({ value }) => value))).toEqual(
          executions.map((_, batch) => [[batch], batch]),
        );
      });

      test("tells its calls who they are", async () => {
        const [ended] = await execute(["context"]).outcomes;
        expect(ended!.value).toEqual({
          flowRunId: "flow-run",
          flowName: "flow",
          flowRunName: "brisk-otter",
          taskRunId: "scope-100",
          taskName: "context",
          taskRunName: "context-100",
          parameters: [],
          attempt: 1,
          tags: ["a"],
          logConsole: false,
        });
      });
    });

    describe("a call that fails", () => {
      test("reports the error as it was, and its batch mates are none the worse", async () => {
        const [before, threw, threwLater, after] = await execute(
          ["add", 1, 1],
          ["fail"],
          ["failLater"],
          ["add", 2, 2],
        ).outcomes;
        expect([before!.value, after!.value]).toEqual([2, 4]);
        expect(threw!.kind).toBe("threw");
        expect(threw!.value).toBeInstanceOf(RangeError);
        expect(threw!.value).toMatchObject({ message: "too far", distance: 7, cause: new Error("the wind") });
        expect(threwLater).toEqual({ kind: "threw", value: new TypeError("not that") });
      });

      test.each([
        ["giveFunction", "threw-for-good", NotEncodableError, /rows\[0\]/],
        ["giveThrowingGetter", "threw", Error, /not to be looked at/],
      ] as const)("for its result, as %s does, fails alone", async (name, kind, type, message) => {
        const [before, bad, after] = await execute(["add", 1, 1], [name], ["add", 2, 2]).outcomes;
        expect(bad!.kind).toBe(kind);
        expect(bad!.value).toBeInstanceOf(type);
        expect((bad!.value as Error).message).toMatch(message);
        expect([before!.value, after!.value]).toEqual([2, 4]);
      });

      test.each<[string, string, string, new (...args: never[]) => Error, RegExp]>([
        [
          "is not in its module",
          "tasks.js",
          "unknown",
          TaskNotFoundError,
          /named "unknown", found the tasks .*"add"/,
        ],
        ["is in a module without tasks", "no-tasks.js", "unknown", TaskNotFoundError, /found no task at all/],
        ["has a module that is not there", "missing.js", "add", ModulePathError, /there is no such file/],
        ["has a module outside the root", "../batches.ts", "add", ModulePathError, /out of the project root/],
        [
          "has an absolute path for a module",
          "/etc/hosts",
          "add",
          ModulePathError,
          /out of the project root/,
        ],
        ["has a URL for a module", "data:text/javascript,0", "add", ModulePathError, /not a relative path/],
        [
          "has a module that throws",
          "throws-on-import.js",
          "add",
          ModuleImportError,
          /the module's own complaint/,
        ],
        ["has a module that throws oddly", "throws-a-function.js", "add", Error, /./],
        [
          "has a module that throws below it",
          "throws-after-its-task.js",
          "early",
          ModuleImportError,
          /below the task/,
        ],
      ])(
        "because its task %s fails for good, each time, and others go on",
        async (_, module, task, type, message) => {
          for (const ended of await run(executor, batchOf(module, [task], [task]))) {
            expect(ended.kind).toBe("threw-for-good");
            expect(ended.value).toBeInstanceOf(type);
            expect((ended.value as Error).message).toMatch(message);
          }
          expect(await execute(["add", 1, 1]).outcomes).toEqual([{ kind: "returned", value: 2 }]);
        },
      );

      test("for its module has what that threw as its cause", async () => {
        const [ended] = await run(executor, batchOf("throws-on-import.js", ["add"]));
        expect((ended!.value as Error).cause).toEqual(new SyntaxError("the module's own complaint"));
      });

      test("for its arguments, which cannot be read, fails alone", async () => {
        const batch = batchOf("tasks.js", ["add", 1, 1], ["add", 2, 2]);
        const [first, second] = batch.calls;
        const [bad, good] = await run(executor, {
          ...batch,
          calls: [{ ...first!, args: first!.args.slice(0, -1) }, second!],
        });
        expect(bad!.kind).toBe("threw-for-good");
        expect(good).toEqual({ kind: "returned", value: 4 });
      });
    });

    describe("what has room", () => {
      test("is an executor that has nothing, or little, to do", async () => {
        expect(executor.hasRoom()).toBe(true);
        const paths = Array.from({ length: 3 * executor.threads }, (_, index) => gate.path(`${index}`));
        const execution = execute(...paths.map((path): CallOf => ["hold", path]));
        await gate.started(paths.slice(0, executor.threads));
        expect(executor.hasRoom()).toBe(false);
        const room = executor.room();
        gate.open(...paths);
        await room;
        await execution.outcomes;
        await executor.idle();
        expect(executor.hasRoom()).toBe(true);
      });

      test("is idle when nothing waits or runs, and not before", async () => {
        await executor.idle();
        const execution = execute(["hold", gate.path("a")], ["hold", gate.path("b")]);
        let isIdle = false;
        const idle = executor.idle().then(() => {
          isIdle = true;
        });
        gate.open(gate.path("a"));
        await execution.until(() => execution.ended === 1);
        expect(isIdle).toBe(false);
        gate.open(gate.path("b"));
        await execution.outcomes;
        await idle;
      });
    });

    const harness = { executor: () => executor, gate: () => gate };
    describeEarlyEndings(harness);
    describeNesting(harness);
    describeGraphs(harness);
    describeValues(harness);

    describe("calls that await something", () => {
      const withDefaults = async (use: (other: Executor) => Promise<void>) => {
        const other = make({ root: FIXTURES });
        await other.start("worker");
        try {
          await use(other);
        } finally {
          await other.close();
        }
      };

      test("run beside each other in a thread that is idle", () =>
        withDefaults(async (other) => {
          const paths = Array.from({ length: 20 }, (_, index) => gate.path(`${index}`));
          const execution = new Execution(
            other,
            batchOf("tasks.js", ...paths.map((path): CallOf => ["hold", path])),
          );
          await gate.started(paths);
          while (!other.hasRoom()) await other.room();
          gate.open(...paths);
          expect(new Set(await execution.kinds)).toEqual(new Set(["returned"]));
        }));

      test("only so many as they are told", async () => {
        const paths = Array.from({ length: executor.threads + 1 }, (_, index) => gate.path(`${index}`));
        const last = paths.at(-1)!;
        const execution = execute(...paths.map((path): CallOf => ["hold", path]));
        await gate.started(paths.slice(0, -1));
        expect(executor.hasRoom()).toBe(false);
        gate.open(...paths.slice(0, -1));
        await gate.started([last]);
        expect(execution.ended).toBeGreaterThan(0);
        gate.open(last);
        await execution.outcomes;
      });

      test("and compute have their thread to themselves", () =>
        withDefaults(async (other) => {
          const calls = Array.from({ length: 3 * other.threads }, (): CallOf => ["computeInSteps", 20]);
          const ended = await run(other, batchOf("tasks.js", ...calls));
          const spans = ended.map(({ value }) => value as { thread: number; from: number; to: number });
          for (const { thread, from, to } of spans) {
            const beside = spans.filter((span) => span.thread === thread && span.from < to && span.to > from);
            expect(beside).toHaveLength(1); // Itself.
          }
        }));
    });

    test("closing ends it at once, whatever runs, and is heard by those that wait", async () => {
      const execution = execute(["hold", gate.path("a")], ["hold", gate.path("b")], ["add", 1, 1]);
      await gate.started([gate.path("a")]);
      const [room, idle] = [executor.room(), executor.idle()];
      await executor.close();
      await Promise.all([room, idle]);
      gate.open(gate.path("a"), gate.path("b"));
      const late = execute(["add", 1, 1]);
      await executor.idle();
      expect(late.ended).toBe(0);
      // Either nothing is said of them, or that they are lost: no call is blamed.
      const kinds = execution.ended === 0 ? [] : (await execution.outcomes).map(({ kind }) => kind);
      expect(kinds.every((kind) => kind === "lost")).toBe(true);
    });
  });
}
