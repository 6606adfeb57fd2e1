import { afterEach, describe, expect, test } from "vitest";
import { keepLogs } from "../testing/logs.ts";
import { runNode } from "../testing/run-node.ts";
import { flow } from "./definitions/flow.ts";
import { task } from "./definitions/task.ts";
import { MissingContextError } from "./errors/errors.ts";
import { getRunLogger, logLevel, processLogger, setLogLevel } from "./logger.ts";

const logs = keepLogs();

afterEach(() => {
  setLogLevel("info");
});

describe("a run's logger", () => {
  test("outside every run there is none", () => {
    expect(() => getRunLogger()).toThrow(MissingContextError);
    expect(() => getRunLogger()).toThrow("getRunLogger()");
  });

  test("of a flow writes its id and name", async () => {
    const run = flow({ name: "report" }, () => getRunLogger().info({ rows: 3 }, "loaded")).start();
    await run.wait();
    expect(logs()).toEqual([
      { level: 30, time: expect.any(Number), flowRunId: run.id, flowName: "report", rows: 3, msg: "loaded" },
    ]);
  });

  test("of a task writes the ids and names of both, and the attempt", async () => {
    const load = task({ name: "load", retries: 1 }, () => {
      getRunLogger().info("loading");
      throw new Error("boom");
    });
    const run = flow({ name: "report" }, async () => ({ id: load.submit().taskRunId })).start();
    const { id } = await run.result();
    const ofRun = { flowRunId: run.id, flowName: "report", taskRunId: id, taskName: "load" };
    expect(logs().filter(({ msg }) => msg === "loading")).toMatchObject([
      { ...ofRun, attempt: 1 },
      { ...ofRun, attempt: 2 },
    ]);
  });

  test("is one logger for the whole run, and keeps the order", async () => {
    await flow({ name: "f" }, async () => {
      const logger = getRunLogger();
      for (const n of [1, 2, 3]) getRunLogger().info(String(n));
      await Promise.resolve();
      expect(getRunLogger()).toBe(logger);
    })();
    expect(logs().map(({ msg }) => msg)).toEqual(["1", "2", "3"]);
  });

  test("writes an error with its stack, whatever the error", async () => {
    await flow({ name: "f" }, () => {
      getRunLogger().error({ err: new TypeError("boom") }, "failed");
      getRunLogger().error({ err: Object.freeze(new Error("frozen")) }, "failed");
    })();
    expect(logs()).toMatchObject([
      { err: { type: "TypeError", stack: expect.stringContaining("boom") } },
      { msg: "failed" },
    ]);
  });
});

describe("the level", () => {
  test("is info unless set, and drops what is below", async () => {
    const speaks = flow({ name: "f" }, () => {
      getRunLogger().debug("debug");
      getRunLogger().info("info");
    });
    expect(logLevel()).toBe("info");
    await speaks();
    setLogLevel("debug");
    await speaks();
    setLogLevel("error");
    await speaks();
    expect(logs().map(({ msg }) => msg)).toEqual(["info", "debug", "info"]);
  });

  test("of the process's own logger follows", () => {
    setLogLevel("warn");
    processLogger().info("quiet");
    processLogger().warn("loud");
    expect(logs()).toMatchObject([{ msg: "loud" }]);
  });
});

const PROGRAM = `
  import { flow, getRunLogger } from "@millrace/core";
  await flow({ name: "report" }, () => {
    getRunLogger().debug("quiet");
    getRunLogger().info("loud");
  })();
  console.log("output");
`;

test("lines go to standard error, so that a program's own output stays clean", async () => {
  const { code, stdout, stderr } = await runNode(PROGRAM);
  expect({ code, stdout }).toEqual({ code: 0, stdout: "output\n" });
  expect(JSON.parse(stderr)).toMatchObject({ flowName: "report", msg: "loud" });
});

test("the environment sets the level", async () => {
  const { stderr } = await runNode(PROGRAM, { MILLRACE_LOG_LEVEL: "debug" });
  expect(
    stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).msg),
  ).toEqual(["quiet", "loud"]);
  expect((await runNode(PROGRAM, { MILLRACE_LOG_LEVEL: "silent" })).stderr).toBe("");
});

test("a level in the environment that there is not is an error that names it", async () => {
  const { code, stderr } = await runNode(PROGRAM, { MILLRACE_LOG_LEVEL: "loud" });
  expect(code).toBe(1);
  expect(stderr).toContain("Expected `MILLRACE_LOG_LEVEL` to be one of trace, debug,");
});
