import { describe, expect, test } from "vitest";
import { runNode } from "../../testing/run-node.ts";

/** Runs a flow in a process of its own, which an unhandled rejection would end. Gives the run's final state. */
async function ending(body: string): Promise<{ type: string; message: string }> {
  const { code, stdout, stderr } = await runNode(
    `
      import { flow, task } from "@millrace/core";
      const fails = task({ name: "fails" }, async () => { throw new Error("boom"); });
      const throws = task({ name: "throws" }, () => { throw new Error("boom"); });
      const give = task({ name: "give" }, (value) => value);
      const run = flow({ name: "f" }, async () => { ${body} }).start();
      const { type, message } = await run.wait();
      await new Promise(setImmediate);
      console.log(JSON.stringify({ type, message }));
    `,
    { MILLRACE_LOG_LEVEL: "silent" },
  );
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

describe("a failed task that nobody awaits never ends the process; it counts in the flow's state", () => {
  test.each([
    ["submitted", "fails.submit();"],
    ["submitted, its function not async", "throws.submit();"],
    ["called", "fails();"],
    ["called, its function not async", "throws();"],
    ["mapped", "fails.map([1]);"],
    ["asked for its result", "fails.submit().result();"],
    ["asked for its results", "fails.map([1]).results();"],
    ["waited for", "await fails.submit().wait();"],
  ])("%s", async (_, body) => {
    expect(await ending(body)).toEqual({ type: "FAILED", message: "1/1 states failed." });
  });

  test("mapped over the future of an iterable", async () => {
    expect(await ending("give.map(fails.submit());")).toEqual({
      type: "FAILED",
      message: "1/1 states failed.",
    });
  });

  test("beside a value that the flow returns: the flow is completed", async () => {
    expect(await ending("fails(); fails.submit(); return 1;")).toEqual({ type: "COMPLETED", message: "" });
  });

  test("inside another task, which is completed", async () => {
    const body =
      "const outer = async () => { fails(); fails.submit(); }; return (await import('@millrace/core')).task(outer)();";
    expect(await ending(body)).toMatchObject({ type: "COMPLETED" });
  });
});

test("a flow run that was started, and that nobody asks, never ends the process", async () => {
  const { code } = await runNode(
    `
      import { flow } from "@millrace/core";
      flow({ name: "f" }, async () => { throw new Error("boom"); }).start();
    `,
  );
  expect(code).toBe(0);
});
