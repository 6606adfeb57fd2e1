// biome-ignore-all lint/suspicious/noConsole: what a task prints is what is tested.
import { expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { runNode } from "../../testing/run-node.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";

const logs = keepLogs();
const written = () => logs().map(({ level, msg }) => ({ level, msg }));

const speaks = task({ name: "speaks" }, (word: string) => {
  console.log("said %s", word);
});

test("logConsole of a task sends what it writes to its run logger, at the level of the method", async () => {
  const loud = task({ name: "loud", logConsole: true }, () => {
    console.debug("debug");
    console.log("log %d", 1);
    console.info("info", { a: 1 });
    console.warn("warn");
    console.error("error");
  });
  await loud();
  expect(written()).toEqual([
    { level: 30, msg: "log 1" },
    { level: 30, msg: "info { a: 1 }" },
    { level: 40, msg: "warn" },
    { level: 50, msg: "error" },
  ]);
  expect(logs()[0]).toMatchObject({ taskName: "loud" });
});

test("logConsole of a flow goes for the flow, its tasks, and the flows that it calls", async () => {
  const child = flow({ name: "child" }, () => console.log("child"));
  const parent = flow({ name: "parent", logConsole: true }, async () => {
    console.log("parent");
    await speaks("task");
    await child();
  });
  await parent();
  expect(logs().map(({ msg, flowName }) => [flowName, msg])).toEqual([
    ["parent", "parent"],
    ["parent", "said task"],
    ["child", "child"],
  ]);
});

test("what runs without logConsole, or outside of runs, writes to the console as ever", async () => {
  const { stdout, stderr } = await runNode(`
    import { flow } from "@millrace/core";
    const says = (word) => () => console.log(word);
    await flow({ name: "captured", logConsole: true }, says("captured"))();
    await flow({ name: "plain" }, says("plain"))();
    console.log("outside %d", 1);
    console.error("error");
  `);
  expect(stdout).toBe("plain\noutside 1\n");
  expect(stderr.split("\n")).toEqual([expect.stringContaining('"msg":"captured"'), "error", ""]);
});

test("capturing is asked for once, and leaves the console of others as it was", async () => {
  await flow({ name: "captured", logConsole: true }, () => console.info("captured"))();
  const captured = console.info;
  await flow({ name: "again", logConsole: true }, () => console.info("again"))();
  expect(console.info).toBe(captured);
  expect(written().map(({ msg }) => msg)).toEqual(["captured", "again"]);
});
