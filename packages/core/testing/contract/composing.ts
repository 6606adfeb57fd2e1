/** Names, subflows, tasks inside tasks, and what observers see, on every runner. */
import {
  allowFailure,
  type FlowRunStateEvent,
  flow,
  getRunContext,
  observeRuns,
  type TaskRunStateEvent,
  tags,
} from "@millrace/core";
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function composingContract(runner: RunnerUnderTest): void {
  const { name, exceptions = {} } = runner;
  const { path, inFlow, start, read, exists } = useWorkshop(runner);
  const childOf = <R>(fn: (n: number) => R, more = {}) =>
    flow({ name: "child", taskRunner: runner.makeRunner(), ...more }, fn);

  describe(`the ${name} task runner: names and context`, () => {
    test("a task run is named by a template of its arguments, a function, or its task and number", async () => {
      const seen = await inFlow(async () => {
        const plain = await tasks.contextOf();
        const byTemplate = await tasks.contextOf.withOptions({ taskRunName: "look" })();
        const byArguments = tasks.add.withOptions({ taskRunName: "{0} and {1}" });
        const names: string[] = [];
        const noting = byArguments.withOptions({ onCompletion: [(run) => names.push(run.taskRunName)] });
        await noting(tasks.add.submit(1, 1), 3);
        const byFunction = await tasks.contextOf.withOptions({
          taskRunName: ({ taskName }) => `my ${taskName}`,
        })();
        return [plain.taskRunName, byTemplate.taskRunName, ...names, byFunction.taskRunName];
      });
      expect(seen).toEqual(["context-of-0", "look", "2 and 3", "my context-of"]);
    });

    test("a name that cannot be made fails the run", async () => {
      const bad = tasks.add.withOptions({ taskRunName: "{2}" });
      await expect(inFlow(() => bad(1, 2))).rejects.toMatchObject({ code: "ERR_INVALID_OPTION" });
    });

    test("a flow run is named by a template of its parameters, or a function; tasks know the name", async () => {
      const named = flow(
        { name: "named", flowRunName: "of {month}", taskRunner: runner.makeRunner() },
        async (_: { month: string }) => (await tasks.contextOf()).flowRunName,
      );
      expect(await named({ month: "May" })).toBe("of May");
      const other = named.withOptions({ flowRunName: ({ parameters }) => JSON.stringify(parameters) });
      expect(await other({ month: "May" })).toBe('{"month":"May"}');
    });
  });

  describe(`the ${name} task runner: subflows`, () => {
    test("a flow called in a flow is a run of its own, beside others, with its own task runner", async () => {
      const child = childOf((n: number) => tasks.add(n, 1));
      const seen = await inFlow(() => Promise.all([child(1), child(2), child(tasks.add.submit(1, 2))]));
      expect(seen).toEqual([2, 3, 4]);
    });

    test("it inherits the tags around its call", async () => {
      const child = childOf(() => getRunContext().tags, { tags: ["of-child"] });
      const seen = await inFlow(() => tags("of-scope", () => child(1)), { tags: ["of-flow"] });
      expect(seen).toEqual(["of-flow", "of-scope", "of-child"]);
    });

    test("it counts in the state of a flow that returns nothing, and its failure throws where it is called", async () => {
      const child = childOf(() => tasks.fail("in the child"));
      const run = start(async () => {
        await child(1).catch(() => {});
        tasks.add.submit(1, 2);
      });
      expect(await run.wait()).toMatchObject({ type: "FAILED", message: "1/2 states failed." });
      await expect(inFlow(() => child(1))).rejects.toThrow("in the child");
    });

    test("behind a failure it never runs: NotReady, unless the failure is allowed", async () => {
      const child = childOf((n: unknown) => (n instanceof Error ? n.message : n));
      const seen = await inFlow(async () => {
        const failed = tasks.fail.submit("before");
        const states = [
          await child.start(failed).wait(),
          await child
            .withOptions({ waitFor: [failed] })
            .start(1)
            .wait(),
        ];
        return {
          names: states.map((state) => state.name),
          allowed: await child(allowFailure(failed) as never),
        };
      });
      expect(seen).toEqual({ names: ["NotReady", "NotReady"], allowed: "before" });
    });
  });

  describe(`the ${name} task runner: tasks inside tasks`, () => {
    test("to any depth, without a deadlock", async () => {
      expect(await inFlow(() => tasks.deep(40))).toBe(40);
    });

    test("many at once, in many", async () => {
      const sums = await inFlow(() => tasks.addMany.map([200, 300, 400]).results());
      expect(sums).toEqual([200 * 199, 300 * 299, 400 * 399]);
    });

    test.skipIf(exceptions.runsOneAtATime)("they run at the same time", async () => {
      expect(await inFlow(() => tasks.meetInside(path("one"), path("other")))).toBe("met");
    });

    test("tags, ids and the flow run reach them", async () => {
      const run = start(() => tasks.contextInside(), { tags: ["of-flow"] });
      const { outer, inner } = (await run.result()) as Awaited<ReturnType<typeof tasks.contextInside>>;
      expect(outer.tags).toEqual(["of-flow"]);
      expect(inner).toMatchObject({
        flowRunId: run.id,
        flowName: "contract",
        taskName: "context-of",
        taskRunId: `${outer.taskRunId}.1-0`,
        tags: ["of-flow", "of-scope", "of-task"],
      });
    });

    test("states, dependencies and retries are as in a flow", async () => {
      expect(await inFlow(() => tasks.statesInside(path("a")))).toEqual([
        "FAILED Failed",
        "PENDING NotReady",
        "COMPLETED Completed",
      ]);
    });

    test("a failure inside fails the task that awaits it, with the error as it was", async () => {
      await expect(inFlow(() => tasks.failInside())).rejects.toThrow("deep inside");
    });

    test("they do not count in the flow's state", async () => {
      const run = start(() => void tasks.statesInside.submit(path("a")));
      expect(await run.wait()).toMatchObject({ type: "COMPLETED", message: "All states completed." });
    });

    test("cancelling a task cancels them", async () => {
      const seen = await inFlow(async () => {
        const outer = tasks.heedInside.submit(path("a"));
        await exists("a.started");
        return (await outer.cancel()).name;
      });
      expect(seen).toBe("Cancelled");
      await exists("a.reason");
      expect(await read("a.reason")).toBe("CancelledRunError");
    });

    test("a task may call a flow", async () => {
      expect(await inFlow(() => tasks.flowInside(path("a")))).toBe(31);
    });
  });

  describe(`the ${name} task runner: events`, () => {
    async function observed(body: () => Promise<unknown>) {
      const flows: FlowRunStateEvent[] = [];
      const runs: TaskRunStateEvent[] = [];
      const stop = observeRuns({
        "flow-run-state": (event) => flows.push(event),
        "task-run-state": (event) => runs.push(event),
      });
      await body().catch(() => {});
      stop();
      return { flows, runs, of: (taskName: string) => runs.filter((event) => event.taskName === taskName) };
    }

    test("each state of each run, in order, with what it needs", async () => {
      const { flows, of } = await observed(() =>
        inFlow(async () => {
          const one = tasks.failFirst
            .withOptions({ retries: 1, retryDelaySeconds: 0.001 })
            .submit(path("a"), 1);
          await tasks.add(one, 1);
        }),
      );
      expect(flows.map(({ state }) => state.name)).toEqual(["Pending", "Running", "Completed"]);
      const retried = of("fail-first");
      expect(retried.map(({ state }) => state.name)).toEqual([
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Completed",
      ]);
      expect(retried.at(-1)).toMatchObject({ flowRunId: flows[0]!.flowRunId, attempt: 2, inputs: [] });
      expect(of("add").map(({ state }) => state.name)).toEqual(["Pending", "Running", "Completed"]);
      expect(of("add")[0]!.inputs).toEqual([retried[0]!.taskRunId]);
      const times = retried.map(({ state }) => state.timestamp);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    });

    test("a subflow and its placeholder name each other", async () => {
      const child = childOf((n: number) => tasks.add(n, 1));
      const { flows, of } = await observed(() => inFlow(() => child(1)));
      const [placeholder] = of("child");
      const run = flows.find(({ flowName }) => flowName === "child");
      expect(placeholder).toMatchObject({ childFlowRunId: run!.flowRunId, flowRunId: flows[0]!.flowRunId });
      expect(run).toMatchObject({ parentTaskRunId: placeholder!.taskRunId });
      expect(of("child").map(({ state }) => state.name)).toEqual(["Pending", "Running", "Completed"]);
      expect(of("add")[0]).toMatchObject({ flowRunId: run!.flowRunId });
    });

    test("runs inside tasks are seen, with the task run that made them", async () => {
      const { of } = await observed(() => inFlow(() => tasks.deep(2)));
      const runs = new Map(of("deep").map((event) => [event.taskRunId, event.parentTaskRunId]));
      const [first, second, third] = [...runs.keys()];
      expect([...runs.values()]).toEqual([undefined, first, second]);
      expect(
        of("deep")
          .filter(({ taskRunId }) => taskRunId === third)
          .map(({ state }) => state.name),
      ).toEqual(["Pending", "Running", "Completed"]);
    });

    test("an observer that throws disturbs nothing", async () => {
      const stop = observeRuns({
        "task-run-state": () => {
          throw new Error("in an observer");
        },
      });
      expect(await inFlow(() => tasks.add(1, 2))).toBe(3);
      stop();
    });
  });
}
