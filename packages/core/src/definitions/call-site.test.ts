import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import * as site from "../../testing/fixtures/call-site-module.ts";
import { runNode } from "../../testing/run-node.ts";
import { callSite, displayPath, moduleUrlOf } from "./call-site.ts";

const fixture = (name: string) => new URL(`../../testing/fixtures/${name}`, import.meta.url).href;

describe("where a definition was written", () => {
  test("in an ES module: its URL", () => {
    expect(site.first.moduleUrl).toBe(fixture("call-site-module.ts"));
  });

  test("in a CommonJS module: the URL of its file", () => {
    const { callNow } = createRequire(import.meta.url)(fixture("call-site.cjs").replace("file://", ""));
    expect(callNow(callSite).moduleUrl).toBe(fixture("call-site.cjs"));
  });

  test("two definitions of one module have different places", () => {
    expect(site.first.place).not.toBe(site.second.place);
  });

  test("two that one factory made have different places, though one line wrote them", () => {
    const [first, second] = site.throughFactory;
    expect(first.place).not.toBe(second.place);
    expect(first.place.split(" < ")[0]).toBe(second.place.split(" < ")[0]);
  });

  test("in code that is in no file: unknown, and so in no one's way", async () => {
    const program = `
      import { task } from "${import.meta.resolve("@millrace/core")}";
      task({ name: "same" }, () => 1);
      task({ name: "same" }, () => 2);
      console.log("defined");
    `;
    const { stdout, stderr } = await runNode(
      `await import("data:text/javascript,${encodeURIComponent(program)}");`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: "defined\n", stderr: "" });
  });
});

test("borrowing V8's stack leaves Error as it was", () => {
  const { prepareStackTrace, stackTraceLimit } = Error;
  callSite();
  expect(Error.prepareStackTrace).toBe(prepareStackTrace);
  expect(Error.stackTraceLimit).toBe(stackTraceLimit);
});

test.each([
  ["file:///app/tasks.ts", "file:///app/tasks.ts"],
  ["file:///app/tasks.ts?v=2#top", "file:///app/tasks.ts"],
  ["/app/my tasks.ts", "file:///app/my%20tasks.ts"],
  ["tasks.ts", undefined],
  ["node:internal/modules", undefined],
  ["", undefined],
  [null, undefined],
  [undefined, undefined],
])("the module of %o is %o", (fileName, expected) => {
  expect(moduleUrlOf(fileName)).toBe(expected);
});

test("for people a module is shown as a path", () => {
  expect(displayPath("file:///app/my%20tasks.ts")).toBe("/app/my tasks.ts");
  expect(displayPath(undefined)).toBe("(no file)");
});
