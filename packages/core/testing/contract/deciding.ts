/** Final states, dependencies, map and retries, on every runner. */
import {
  allowFailure,
  Cancelled,
  Completed,
  Failed,
  flow,
  getRunContext,
  quote,
  type State,
  unmapped,
} from "@millrace/core";
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function decidingContract(runner: RunnerUnderTest): void {
  const { name } = runner;
  const { path, read, inFlow, start } = useWorkshop(runner);
  const facts = (state: State | undefined) => ({ ...state }) as Partial<State>;

  describe(`the ${name} task runner: the state that a return value makes`, () => {
    test.each<[tasks.ReturnKind, object]>([
      ["nothing", { type: "COMPLETED", data: undefined }],
      ["completed", { type: "COMPLETED", name: "Done", message: "by hand", data: 7 }],
      ["failed", { type: "FAILED", message: "no rows" }],
      ["cancelled", { type: "CANCELLED", message: "holiday" }],
      ["futures", { type: "COMPLETED", data: [2, 4] }],
      ["failedFutures", { type: "FAILED", message: "1/2 states failed." }],
      ["nested", { type: "COMPLETED", data: { rows: new Map([["sum", 2]]) } }],
      ["states", { type: "COMPLETED", data: 2 }],
      ["exception", { type: "FAILED", data: { name: "RangeError", message: "wins" } }],
    ])("of a task: %s", async (what, expected) => {
      expect(await inFlow(async () => facts(await tasks.returning.submit(what).wait()))).toMatchObject(
        expected,
      );
    });

    test.each<[string, () => unknown, object]>([
      [
        "nothing, all completed",
        () => void tasks.add.submit(1, 1),
        { type: "COMPLETED", message: "All states completed." },
      ],
      [
        "nothing, one failed",
        () => void [tasks.add.submit(1, 1), tasks.fail.submit("x")],
        { type: "FAILED", message: "1/2 states failed." },
      ],
      [
        "an ordinary value, whatever its tasks did",
        () => [1, tasks.fail.submit("x")].length,
        { type: "COMPLETED", data: 2 },
      ],
      ["a state made by hand", () => Completed({ data: 7 }), { type: "COMPLETED", data: 7 }],
      [
        "a failed state made by hand",
        () => Failed({ message: "no rows" }),
        { type: "FAILED", message: "no rows" },
      ],
      [
        "states of runs",
        async () => [await tasks.fail.submit("x").wait(), await tasks.add.submit(1, 1).wait()],
        { type: "FAILED", message: "1/2 states failed." },
      ],
      [
        "a cancelled state among them",
        () => [Cancelled(), Completed()],
        { type: "CANCELLED", message: "1/2 states cancelled." },
      ],
      [
        "futures",
        () => [tasks.add.submit(1, 1), tasks.add.submit(2, 2)],
        { type: "COMPLETED", data: [2, 4] },
      ],
      [
        "futures inside a value",
        () => ({ sums: new Set([tasks.add.submit(1, 1)]) }),
        { type: "COMPLETED", data: { sums: new Set([2]) } },
      ],
      [
        "an exception, before anything else",
        () => {
          tasks.add.submit(1, 1);
          throw new RangeError("wins");
        },
        { type: "FAILED", data: { message: "wins" } },
      ],
    ])("of a flow: %s", async (_, fn, expected) => {
      expect(await start(fn).wait()).toMatchObject(expected);
    });

    test("every task ends before its flow does, also after an exception", async () => {
      const run = start(() => {
        tasks.counted.submit(path("a"));
        throw new Error("at once");
      });
      expect(await run.wait()).toMatchObject({ type: "FAILED" });
      expect(await read("a")).toBe("x");
    });
  });

  describe(`the ${name} task runner: dependencies`, () => {
    test("a state in an argument stands for its value, at any depth", async () => {
      const seen = await inFlow(async () => {
        const state = (await tasks.add.submit(1, 2).wait()) as State;
        return [await tasks.add(state as never, 1), await tasks.add(Completed({ data: 5 }) as never, 1)];
      });
      expect(seen).toEqual([4, 6]);
    });

    test("a state that is not COMPLETED keeps a run from starting, unless its failure is allowed", async () => {
      const seen = await inFlow(async () => {
        const failed = tasks.fail.submit("x");
        const state = (await failed.wait()) as State;
        const behind = await tasks.counted.submit(path("a"), [state]).wait();
        const allowed = tasks.counted.submit(path("b"), { deep: allowFailure([state]) });
        return { behind: facts(behind), allowed: await allowed, id: failed.taskRunId };
      });
      const { behind, allowed, id } = seen as { behind: Partial<State>; allowed: number; id: string };
      expect(behind).toMatchObject({
        name: "NotReady",
        message: `Upstream task run '${id}' did not reach a 'COMPLETED' state.`,
      });
      expect(allowed).toBe(1);
      expect(await read("a")).toBe("");
    });

    test("NotReady goes on down a chain, each run naming its own upstream", async () => {
      const seen = (await inFlow(async () => {
        const chain = [tasks.fail.submit("x")];
        for (let n = 0; n < 3; n++) chain.push(tasks.add.submit(chain[n]!, 1));
        const states = await Promise.all(chain.map((future) => future.wait()));
        return {
          ids: chain.map((future) => future.taskRunId),
          messages: states.map((state) => state!.message),
        };
      })) as { ids: string[]; messages: string[] };
      for (const n of [1, 2, 3]) expect(seen.messages[n]).toContain(`'${seen.ids[n - 1]}'`);
    });

    test("waitFor orders runs and passes nothing; a failure in it keeps the run from starting", async () => {
      const seen = await inFlow(async () => {
        const first = tasks.counted.submit(path("a"));
        const second = await tasks.counted.withOptions({ waitFor: [first] })(path("a"));
        const never = tasks.counted.withOptions({ waitFor: [tasks.fail.submit("x")] }).submit(path("a"));
        const anyhow = tasks.counted.withOptions({ waitFor: [allowFailure(tasks.fail.submit("x"))] });
        return [second, (await never.wait())?.name, await anyhow(path("a"))];
      });
      expect(seen).toEqual([2, "NotReady", 3]);
    });
  });

  describe(`the ${name} task runner: map`, () => {
    test("takes iterables apart in step; strings, unmapped and other values go to every call", async () => {
      const seen = await inFlow(async () => [
        await tasks.add.map(new Set([1, 2]), [10, 20]).results(),
        await tasks.add.map([1, 2], 10).results(),
        await tasks.counted.map([path("a"), path("a")], unmapped(["whole"])).results(),
        (await tasks.add.map([], []).results()).length,
        await tasks.add.map(quote([1, 2]), tasks.add.submit(5, 5)).results(),
      ]);
      expect(seen).toEqual([[11, 22], [11, 12], [expect.any(Number), expect.any(Number)], 0, [11, 12]]);
    });

    test("refuses different lengths, and nothing to take apart, at once", async () => {
      const codes = await inFlow(() =>
        [() => tasks.add.map([1, 2], [1]), () => tasks.add.map(1 as never, 2 as never)].map((bad) => {
          try {
            return bad();
          } catch (error) {
            return (error as { code: string }).code;
          }
        }),
      );
      expect(codes).toEqual(["ERR_MAP_LENGTH", "ERR_NOTHING_TO_MAP"]);
    });

    test("results() fails with the first failure, and the others go on", async () => {
      const seen = await inFlow(async () => {
        const list = tasks.failFirst.map([path("a"), path("b")], [1, 0]);
        const error = await list.results().catch((reason: Error) => reason.message);
        return [error, (await list.wait()).map((state) => state.name)];
      });
      expect(seen).toEqual(["run 1 failed", ["Failed", "Completed"]]);
    });
  });

  describe(`the ${name} task runner: retries`, () => {
    test("as many as said, after delays that are a number, a list or a function, with jitter", async () => {
      const delays = [0.001, [0.001, 0.002], (retries: number) => new Array<number>(retries).fill(0.001)];
      const seen = await inFlow(async () => {
        const runs: unknown[] = [];
        for (const [index, retryDelaySeconds] of delays.entries()) {
          const risky = tasks.failFirst.withOptions({
            retries: 2,
            retryDelaySeconds,
            retryJitterFactor: 0.5,
          });
          runs.push(await risky(path(`${index}`), 2));
        }
        return runs;
      });
      expect(seen).toEqual([3, 3, 3]);
    });

    test("only when retryConditionFn says so", async () => {
      const risky = tasks.failFirst.withOptions({
        retries: 5,
        retryConditionFn: (_, failed) => (failed.data as Error).message !== "run 2 failed",
      });
      await expect(inFlow(() => risky(path("a"), 5))).rejects.toThrow("run 2 failed");
      expect(await read("a")).toBe("xx");
    });

    test("hooks: onRunning with each attempt, onFailure once, after the last; onCompletion when it is COMPLETED", async () => {
      const called: string[] = [];
      const note = (label: string) => [
        (run: { attempt: number }) => void called.push(`${label} ${run.attempt}`),
      ];
      const hooked = tasks.failFirst.withOptions({
        retries: 1,
        onRunning: note("running"),
        onFailure: note("failed"),
        onCompletion: note("completed"),
      });
      await inFlow(async () => [
        await hooked(path("a"), 1),
        (await hooked.submit(path("b"), 9).wait())?.name,
      ]);
      expect(called).toEqual([
        ...["running 1", "running 2", "completed 2"],
        ...["running 1", "running 2", "failed 2"],
      ]);
    });

    test("withOptions: 0 and null override what the task says", async () => {
      const patient = tasks.failFirst.withOptions({ retries: 5, timeoutSeconds: 60 });
      await expect(inFlow(() => patient.withOptions({ retries: 0 })(path("a"), 1))).rejects.toThrow("run 1");
      await expect(inFlow(() => patient.withOptions({ retries: null })(path("b"), 1))).rejects.toThrow(
        "run 1",
      );
      expect(await inFlow(() => patient.withOptions({ timeoutSeconds: null })(path("c"), 1))).toBe(2);
    });
  });

  describe(`the ${name} task runner: flow options`, () => {
    test("bad parameters make a FAILED run that was never RUNNING", async () => {
      const states: string[] = [];
      const strict = flow(
        {
          name: "strict",
          taskRunner: runner.makeRunner(),
          onRunning: [() => states.push("running")],
          parameters: {
            "~standard": {
              version: 1,
              vendor: "test",
              validate: () => ({ issues: [{ message: "no good" }] }),
            },
          },
        },
        () => states.push("called"),
      );
      expect(await strict.start({}).wait()).toMatchObject({
        type: "FAILED",
        data: { code: "ERR_PARAMETER" },
      });
      expect(states).toEqual([]);
    });

    test("a flow has the version that it is given, or that of its module's text; null takes an option back", async () => {
      const plain = flow(
        { name: "versioned", taskRunner: runner.makeRunner() },
        () => getRunContext().attempt,
      );
      expect(plain.version).toMatch(/^[0-9a-f]{16}$/);
      const given = plain.withOptions({ version: "7", retries: 3 });
      expect(given.version).toBe("7");
      expect(given.withOptions({ version: null }).version).toBe(plain.version);
      expect(await given.withOptions({ retries: null })()).toBe(1);
    });
  });
}
