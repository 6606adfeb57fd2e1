/** Projects as users have them, in directories of their own, run as users run them. */
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { killPrograms } from "../support/processes.ts";
import { type ProjectOptions, UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });

afterEach(killPrograms);

const TYPESCRIPT = `
import { DistributedTaskRunner, flow, task } from "millrace";

interface Row { readonly month: string; readonly count: number }

const count = task({ name: "count" }, (month: string): Row => ({ month, count: month.length }));

const report = flow(
  { name: "report", taskRunner: new DistributedTaskRunner({ cluster: { broker: BROKER, workers: 1, threads: 2 } }) },
  async ({ months }: { months: string[] }) => {
    const rows = await count.map(months).results();
    return rows.reduce((total, row) => total + row.count, 0);
  },
);

MAIN
`;
const JAVASCRIPT = TYPESCRIPT.replace(/interface Row .*\n/, "").replaceAll(
  /: (string|Row)\b|: \{ months: string\[\] \}/g,
  "",
);
const COMMONJS = JAVASCRIPT.replace(/import (.*) from "millrace";/, 'const $1 = require("millrace");');

const AWAITED = `console.log("total", await report({ months: ["2024-01", "2024-02"] }));`;
const THEN = `report({ months: ["2024-01", "2024-02"] }).then((total) => console.log("total", total));`;

function program(text: string, main: string, broker: string): string {
  return text.replace("MAIN", main).replace("BROKER", JSON.stringify(broker));
}

/** What each of these projects prints, and nothing else. */
const PRINTED = { code: 0, signal: null, stdout: "total 14\n", stderr: "" };

interface Kind {
  readonly name: string;
  readonly file: string;
  readonly text: string;
  readonly main: string;
  readonly type: NonNullable<ProjectOptions["type"]>;
}

const KINDS: readonly Kind[] = [
  { name: "TypeScript, ES modules", file: "report.ts", text: TYPESCRIPT, main: AWAITED, type: "module" },
  { name: "TypeScript, CommonJS", file: "report.ts", text: TYPESCRIPT, main: THEN, type: "commonjs" },
  {
    name: "TypeScript, no type in package.json",
    file: "report.ts",
    text: TYPESCRIPT,
    main: THEN,
    type: "none",
  },
  {
    name: "TypeScript, .mts in a CommonJS project",
    file: "report.mts",
    text: TYPESCRIPT,
    main: AWAITED,
    type: "commonjs",
  },
  { name: "JavaScript, ES modules", file: "report.js", text: JAVASCRIPT, main: AWAITED, type: "module" },
  { name: "JavaScript, CommonJS", file: "report.cjs", text: COMMONJS, main: THEN, type: "commonjs" },
];

test.each(KINDS)("$name", async ({ file, text, main, type }) => {
  await using project = await UserProject.make({ [file]: program(text, main, "memory") }, { type });
  expect(quiet(await project.run(file))).toEqual(PRINTED);
});

test.each(KINDS.slice(0, 2))("$name, on worker processes", async ({ file, text, main, type }) => {
  await using project = await UserProject.make({ [file]: program(text, main, "redis") }, { type });
  expect(quiet(await project.run(file))).toEqual(PRINTED);
});

/** Node warns of require(esm) on the lines that it supports it in as an experiment. */
function quiet<E extends { stderr: string }>(exit: E): E {
  const kept = exit.stderr.split("\n").filter((line) => !/ExperimentalWarning|--trace-warnings/.test(line));
  return { ...exit, stderr: kept.join("\n").trim() };
}

const MODULAR = {
  "lib/factory.ts": `
    import { task } from "millrace";
    export function makeScaler(factor: number) {
      return task({ name: \`scale-\${factor}\` }, (n: number) => n * factor);
    }`,
  "src/tasks/double.ts": `
    import { task } from "millrace";
    export const double = task({ name: "double" }, (n: number) => 2 * n);`,
  "src/report.ts": `
    import { DistributedTaskRunner, flow } from "millrace";
    import { double } from "./tasks/double.ts";
    import { makeScaler } from "../lib/factory.ts";

    const scale = makeScaler(10);
    const taskRunner = new DistributedTaskRunner({ cluster: { broker: "redis", workers: 1, threads: 1 } });
    const report = flow({ name: "report", taskRunner }, async () => await scale(double.submit(7)));
    console.log("total", await report());`,
};
const MODULAR_PRINTED = { ...PRINTED, stdout: "total 140\n" };

describe("a project of several modules", () => {
  test("has its tasks in other modules than the flow, one of them made by a factory", async () => {
    await using project = await UserProject.make(MODULAR);
    expect(await project.run("src/report.ts")).toEqual(MODULAR_PRINTED);
  });

  test("runs in a directory with spaces and letters beyond ASCII", async () => {
    await using project = await UserProject.make(MODULAR, { directory: "Mühle 100% & Söhne #1 水車" });
    expect(await project.run("src/report.ts")).toEqual(MODULAR_PRINTED);
  });

  test("runs from any working directory", async () => {
    await using project = await UserProject.make(MODULAR);
    expect(await project.run(join(project.root, "src/report.ts"), { cwd: "/" })).toEqual(MODULAR_PRINTED);
  });

  test("runs through a symlink to its directory", async () => {
    await using project = await UserProject.make(MODULAR);
    const link = project.beside("link");
    await symlink(project.root, link);
    expect(await project.run("src/report.ts", { cwd: link })).toEqual(MODULAR_PRINTED);
    expect(await project.run(join(link, "src/report.ts"), { cwd: "/" })).toEqual(MODULAR_PRINTED);
  });
});
