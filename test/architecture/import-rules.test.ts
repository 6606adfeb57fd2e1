import { describe, expect, test } from "vitest";
import { findBreaches } from "./import-rules.ts";

/** Checks files given as path and text. */
function check(files: Record<string, string>): string[] {
  return findBreaches(Object.entries(files).map(([path, text]) => ({ path, text })));
}

const EVERY_FORM = [
  'import { x } from "NAME";',
  'import x from "NAME";',
  'import * as x from "NAME";',
  'import "NAME";',
  'import type { X } from "NAME";',
  'import { type X } from "NAME";',
  'export { x } from "NAME";',
  'export type { X } from "NAME";',
  'export * from "NAME";',
  'const x = await import("NAME");',
  "const x = await import(`NAME`);",
  'const x = require("NAME");',
  'import x = require("NAME");',
  'let x: import("NAME").X;',
];

test("a house in order breaches nothing", () => {
  const breaches = check({
    "packages/core/src/index.ts": `
      import { readFile } from "node:fs/promises";
      import type { StandardSchemaV1 } from "@standard-schema/spec";
      export * from "./values/packer.ts";
      // import "bullmq"; process.env.HOME
      const text = 'import "bullmq"; process.env.HOME';`,
    "packages/core/src/values/packer.ts": 'import { Packr } from "msgpackr";',
    "packages/core/src/logger.ts": 'import { pino } from "pino";',
    "packages/core/src/settings.ts": "export const read = (environment = process.env) => environment.HOME;",
    "packages/broker/src/redis/bullmq.ts":
      'import { flow } from "@millrace/core"; import { Queue } from "bullmq";',
    "packages/broker/src/redis/redis-connection.ts":
      'import { Redis } from "ioredis"; export type { Redis };',
    "packages/worker/src/executors/threads.ts": 'const { Piscina } = await import("piscina");',
    "packages/runner-distributed/src/index.ts": 'import { Worker } from "@millrace/worker";',
    "packages/millrace/src/index.ts":
      'export * from "@millrace/runner-distributed"; export * from "@millrace/core";',
    "packages/millrace/src/cli.ts":
      "const platform: NodeJS.ProcessEnv = {}; process.environment; process.exit();",
  });
  expect(breaches).toEqual([]);
});

describe("the direction between packages", () => {
  test.each(EVERY_FORM)("is kept in the form %s", (form) => {
    const path = "packages/broker/src/index.ts";
    const forbidden = check({ [path]: `\n${form.replace("NAME", "@millrace/worker")}` });
    expect(forbidden).toEqual([`${path}:2: broker may import only core, got "@millrace/worker".`]);
    expect(check({ [path]: form.replace("NAME", "@millrace/core") })).toEqual([]);
  });

  test.each([
    ["core", "@millrace/broker"],
    ["broker", "@millrace/runner-distributed"],
    ["worker", "@millrace/runner-distributed"],
    ["runner-distributed", "millrace"],
  ])("forbids %s to import %s, in tests too", (directory, specifier) => {
    for (const name of ["index.ts", "index.test.ts"]) {
      const breaches = check({ [`packages/${directory}/src/${name}`]: `import "${specifier}";` });
      expect(breaches[0]).toMatch(
        new RegExp(`^packages/${directory}/src/${name}:1: ${directory} may import`),
      );
    }
  });

  test.each([
    ["core", "@millrace/core"],
    ["millrace", "millrace"],
  ])("forbids %s to import %s, but for its tests", (directory, specifier) => {
    const source = `import "${specifier}";`;
    expect(check({ [`packages/${directory}/src/index.ts`]: source })[0]).toMatch(/may import/);
    expect(check({ [`packages/${directory}/src/index.test.ts`]: source })).toEqual([]);
  });

  test("needs every package to have its place", () => {
    expect(check({ "packages/dashboard/src/index.ts": "" })[0]).toMatch(/got "dashboard"/);
  });
});

describe("the bounds of a package", () => {
  test.each(["@millrace/core/src/flow.ts", "@millrace/core/dist/flow.js", "@millrace/core/src"])(
    "keep %s inside",
    (specifier) => {
      expect(check({ "packages/worker/src/a.ts": `import "${specifier}";` })).toEqual([
        `packages/worker/src/a.ts:1: expected another package's public entry, got its internals "${specifier}".`,
      ]);
    },
  );

  test.each([
    "../../core/src/flow.ts",
    "../../../scripts/demo.mjs",
    "../../../test/support/leaks.ts",
    "../../..",
  ])("are not left by %s", (specifier) => {
    expect(check({ "packages/worker/src/a.ts": `import "${specifier}";` })).toEqual([
      `packages/worker/src/a.ts:1: expected a relative import to stay in its package, got "${specifier}".`,
    ]);
  });

  test("let a test reach the tests' support, and nothing else outside", () => {
    const path = "packages/worker/src/a.test.ts";
    expect(check({ [path]: 'import "../../../test/support/leaks.ts"; import "../testing/b.ts";' })).toEqual(
      [],
    );
    expect(check({ [path]: 'import "../../core/src/flow.ts";' })).toHaveLength(1);
  });
});

describe("foreign libraries", () => {
  test.each([
    ["bullmq", "packages/broker/src/redis/bullmq.ts"],
    ["ioredis", "packages/broker/src/redis/redis-connection.ts"],
    ["piscina", "packages/worker/src/executors/threads.ts"],
    ["msgpackr", "packages/core/src/values/packer.ts"],
    ["pino", "packages/core/src/logger.ts"],
  ])("%s is imported by %s alone", (library, allowed) => {
    for (const form of EVERY_FORM) {
      expect(check({ [allowed]: form.replace("NAME", library) })).toEqual([]);
      const elsewhere = allowed.replace(".ts", "-extra.ts");
      expect(check({ [elsewhere]: form.replace("NAME", `${library}/deep/file.js`) })).toEqual([
        `${elsewhere}:1: expected only ${allowed} to import ${library}, got another import of it.`,
      ]);
    }
  });

  test.each([
    "packages/broker/src/keys.test.ts",
    "packages/broker/src/testing/fake.ts",
    "packages/broker/testing/a.ts",
  ])("are open to %s", (path) => {
    expect(check({ [path]: 'import { Redis } from "ioredis"; process.env.HOME;' })).toEqual([]);
  });

  test.each(["zod", "fs", "@standard-schema/other", "tsx/esm/api"])(
    "core does not import %s",
    (specifier) => {
      const source = `import "${specifier}";`;
      expect(check({ "packages/core/src/a.ts": source })).toEqual([
        `packages/core/src/a.ts:1: expected core to import only node:*, pino, msgpackr, @standard-schema/spec; got "${specifier}".`,
      ]);
      expect(check({ "packages/core/src/a.test.ts": source, "packages/worker/src/a.ts": source })).toEqual(
        [],
      );
    },
  );
});

describe("process.env", () => {
  test.each([
    "process.env.HOME;",
    'process.env["HOME"];',
    'process["env"].HOME;',
    "globalThis.process.env;",
    "process?.env;",
    "const { env } = process;",
    "const { env: environment } = process;",
    "const { ...everything } = process;",
    "let env; ({ env } = process);",
    "spawn('x', { env: { ...process.env } });",
    'import { env } from "node:process";',
    'import { env as environment } from "process";',
    'import host from "node:process"; host.env;',
    'import * as host from "node:process"; host.env;',
  ])("is not read as %s", (source) => {
    expect(check({ "packages/worker/src/a.ts": `\n\n${source}` })).toEqual([
      "packages/worker/src/a.ts:3: expected only packages/core/src/settings.ts to read process.env, got another reader.",
    ]);
    expect(check({ "packages/worker/src/a.test.ts": source })).toEqual([]);
  });
});

describe("cycles", () => {
  test("of two, of three, and of one are found", () => {
    expect(
      check({
        "packages/core/src/a.ts": 'import { b } from "./b.ts";',
        "packages/core/src/b.ts": 'export * from "./a.ts";',
        "packages/broker/src/a.ts": 'import "./b/c.ts";',
        "packages/broker/src/b/c.ts": 'const d = await import("../d.ts");',
        "packages/broker/src/d.ts": 'import { type A } from "./a.ts";',
        "packages/worker/src/self.ts": 'import "./self.ts";',
      }),
    ).toEqual([
      "packages/core/src/a.ts: expected no cycle of imports, got a.ts -> b.ts -> a.ts.",
      "packages/broker/src/a.ts: expected no cycle of imports, got a.ts -> c.ts -> d.ts -> a.ts.",
      "packages/worker/src/self.ts: expected no cycle of imports, got self.ts -> self.ts.",
    ]);
  });

  test("are not made by imports of types alone, nor by a shared dependency", () => {
    expect(
      check({
        "packages/core/src/a.ts": 'import { b } from "./b.ts"; import { c } from "./c.ts";',
        "packages/core/src/b.ts": 'import type { A } from "./a.ts"; import { c } from "./c.ts";',
        "packages/core/src/c.ts": 'let a: import("./a.ts").A;',
      }),
    ).toEqual([]);
  });
});
