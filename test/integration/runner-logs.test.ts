/** What is logged in a task reaches the flow's process, with the ids of its runs, in order, on every runner. */
import { flow, setLogLevel, type TaskRunner } from "millrace";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { keepLogs, type LogLine } from "../support/logs.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

const logged = keepLogs();

function linesOf(taskRunId: string): LogLine[] {
  return logged().filter((line) => line.taskRunId === taskRunId);
}

describe.each(RUNNER_KINDS)("on the $name runner", ({ start }) => {
  let started: StartedRunner;
  let taskRunner: TaskRunner;

  beforeAll(async () => {
    started = await start();
    taskRunner = started.taskRunner;
  });

  afterAll(() => started?.close());

  test("lines of a run logger are there when the run's value is, in order, with the ids", async () => {
    const body = async () => {
      const futures = tasks.log.map(Array.from({ length: 20 }, () => 10));
      const atItsEnd: number[] = [];
      for (const future of futures) {
        await future;
        atItsEnd.push(linesOf(future.taskRunId).length);
      }
      return { ids: Array.from(futures, ({ taskRunId }) => taskRunId), atItsEnd };
    };
    const run = flow({ name: "logging", taskRunner }, body).start();
    const { ids, atItsEnd } = await run.result();
    expect(atItsEnd).toEqual(Array.from({ length: 20 }, () => 10));
    for (const id of ids) {
      const lines = linesOf(id);
      expect(lines.map(({ msg }) => msg)).toEqual(Array.from({ length: 10 }, (_, index) => `line ${index}`));
      const run_ = { flowRunId: run.id, flowName: "logging", taskRunId: id, taskName: "log", attempt: 1 };
      for (const line of lines) expect(line).toMatchObject({ ...run_, level: 30 });
    }
  });

  test("a task with logConsole logs what it prints, between its other lines", async () => {
    const body = async () => {
      const future = tasks.print.submit("wheel");
      await future;
      return { taskRunId: future.taskRunId };
    };
    const { taskRunId } = await flow({ name: "printing", taskRunner }, body)();
    expect(linesOf(taskRunId).map(({ level, msg }) => [level, msg])).toEqual([
      [30, "hello wheel { n: 1 }"],
      [30, "between"],
      [40, "careful"],
    ]);
  });

  test("a flow with logConsole logs what all of its tasks print, and what it prints itself", async () => {
    const body = async () => {
      console.log("in the flow");
      await tasks.printQuietly();
    };
    const run = flow({ name: "printing", taskRunner, logConsole: true }, body).start();
    await run.result();
    const lines = logged().filter(({ flowRunId }) => flowRunId === run.id);
    expect(lines.map(({ msg, taskName }) => [msg, taskName])).toEqual([
      ["in the flow", undefined],
      ["captured by the flow's wish", "print-quietly"],
    ]);
  });

  test("a failure is logged with the ids of its run, and with each attempt", async () => {
    const body = async () => {
      const future = tasks.failOrder.withOptions({ retries: 1 }).submit(5);
      await future.wait();
      return { taskRunId: future.taskRunId };
    };
    const { taskRunId } = await flow({ name: "failing", taskRunner }, body)();
    expect(linesOf(taskRunId)).toMatchObject([
      { level: 40, attempt: 1, err: { message: expect.stringContaining("order 5 is late") } },
      { level: 50, attempt: 2, err: { message: expect.stringContaining("order 5 is late") } },
    ]);
  });

  test("the level of the flow's process is that of the workers", async () => {
    try {
      setLogLevel("warn");
      await flow({ name: "quiet", taskRunner }, () => tasks.log(5))();
      expect(logged()).toEqual([]);
    } finally {
      setLogLevel("info");
    }
  });
});
