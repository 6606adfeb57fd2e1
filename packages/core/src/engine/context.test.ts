import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { MissingContextError } from "../errors/errors.ts";
import { getRunContext, runWithoutContext, tags } from "./context.ts";

keepLogs();

const ownTags = task({ name: "own-tags" }, () => getRunContext().tags);
const tagged = task({ name: "tagged", tags: ["of-task"] }, () => getRunContext().tags);
const context = task({ name: "context" }, () => getRunContext());

describe("getRunContext", () => {
  test("outside every run it throws", () => {
    expect(() => getRunContext()).toThrow(MissingContextError);
    expect(() => getRunContext()).toThrow("getRunContext()");
  });

  test("in a flow it tells of the flow run", async () => {
    const run = flow({ name: "report", tags: ["daily"] }, () => getRunContext()).start();
    expect(await run.result()).toEqual({
      flowRunId: run.id,
      flowName: "report",
      flowRunName: run.flowRunName,
      taskRunId: undefined,
      taskName: undefined,
      taskRunName: undefined,
      attempt: 1,
      tags: ["daily"],
      logConsole: false,
      parameters: undefined,
    });
  });

  test("in a task it tells of the task run too", async () => {
    const run = flow({ name: "report" }, async () => {
      const future = context.submit();
      return { seen: await future, taskRunId: future.taskRunId };
    }).start();
    const { seen, taskRunId } = await run.result();
    expect(seen).toMatchObject({
      flowRunId: run.id,
      flowName: "report",
      taskRunId,
      taskName: "context",
      attempt: 1,
    });
  });

  test("the attempt is counted from 1", async () => {
    const attempts: number[] = [];
    const flaky = task({ name: "flaky", retries: 2 }, () => {
      attempts.push(getRunContext().attempt);
      if (attempts.length < 3) throw new Error("not yet");
    });
    await flow({ name: "f" }, () => flaky())();
    expect(attempts).toEqual([1, 2, 3]);
  });

  test("runs at the same time each see their own, also after an await", async () => {
    const bothAreThere = signal();
    let there = 0;
    const meet = task({ name: "meet" }, async (name: string) => {
      if (++there === 2) bothAreThere.send();
      await bothAreThere;
      return [name, ...getRunContext().tags];
    });
    const meeting = flow({ name: "meeting" }, (name: string) => tags(name, () => meet(name)));
    expect(await Promise.all([meeting("a"), meeting("b")])).toEqual([
      ["a", "a"],
      ["b", "b"],
    ]);
  });

  test("a flow called in a task is a run of its own", async () => {
    const inner = flow({ name: "inner" }, () => getRunContext());
    const outer = task({ name: "outer" }, () => inner());
    const seen = await outer();
    expect(seen).toMatchObject({ flowName: "inner", taskRunId: undefined });
  });

  test("what runs without context belongs to no run", async () => {
    const loner = task({ name: "loner" }, () => runWithoutContext(() => getRunContext()));
    await expect(loner()).rejects.toThrow(MissingContextError);
  });
});

describe("tags", () => {
  test("go to the runs made inside", async () => {
    expect(await tags("a", "b", () => ownTags())).toEqual(["a", "b"]);
  });

  test("give back what the function returns", () => {
    expect(tags("a", () => 42)).toBe(42);
  });

  test("end with the function", async () => {
    await tags("a", () => ownTags());
    expect(await ownTags()).toEqual([]);
  });

  test("last through the awaits of the function", async () => {
    const later = tags("a", async () => {
      await Promise.resolve();
      return ownTags();
    });
    expect(await later).toEqual(["a"]);
  });

  test("of nested scopes add up, each once", async () => {
    expect(await tags("a", "b", () => tags("b", "c", () => ownTags()))).toEqual(["a", "b", "c"]);
  });

  test("of the task, the flow and the scopes come together", async () => {
    const run = flow({ name: "f", tags: ["of-flow"] }, () => tags("of-scope", () => tagged()));
    expect(await tags("outside", () => run())).toEqual(["outside", "of-flow", "of-scope", "of-task"]);
  });

  test("of a task go to the tasks that it calls", async () => {
    const outer = task({ name: "outer", tags: ["of-outer"] }, () => tagged());
    expect(await outer()).toEqual(["of-outer", "of-task"]);
  });

  test("of a flow go to the flows that it calls", async () => {
    const child = flow({ name: "child", tags: ["of-child"] }, () => getRunContext().tags);
    const parent = flow({ name: "parent", tags: ["of-parent"] }, () => child());
    expect(await parent()).toEqual(["of-parent", "of-child"]);
  });

  test("do not leak from one branch into another that runs at the same time", async () => {
    const branches = flow({ name: "branches" }, () =>
      Promise.all([tags("a", () => ownTags()), ownTags(), tags("b", () => ownTags())]),
    );
    expect(await branches()).toEqual([["a"], [], ["b"]]);
  });
});

test("runs of one flow have what they hand down in common, so that on the wire it is written once for all", async () => {
  const add = task({ name: "add" }, (a: number) => a + 1);
  await flow({ name: "report", tags: ["daily"] }, async () => {
    const [one, other] = [add.submit(1).run, add.submit(2).run];
    expect(one.heldLimits).toBe(other.heldLimits);
    expect(one.tags).toBe(other.tags);
  })();
});
