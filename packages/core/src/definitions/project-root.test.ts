import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runNode } from "../../testing/run-node.ts";
import { ModulePathError } from "../errors/errors.ts";
import {
  currentProjectRoot,
  findProjectRoot,
  fromModulePath,
  setProjectRoot,
  toModulePath,
} from "./project-root.ts";

let directory: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "millrace-root-")));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (path: string) => join(directory, path);
function write(path: string, text = "") {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), text);
}

describe("the root of a project is", () => {
  test("the nearest directory with a package.json", () => {
    write("app/package.json", "{}");
    write("app/src/deep/tasks.ts");
    expect(findProjectRoot(at("app/src/deep"))).toBe(at("app"));
  });

  test.each([
    ["package.json", '{ "workspaces": ["packages/*"] }'],
    ["pnpm-workspace.yaml", "packages: ['packages/*']"],
  ])("above that, one that declares workspaces in %s", (file, text) => {
    write(file, text);
    write("packages/app/package.json", "{}");
    expect(findProjectRoot(at("packages/app"))).toBe(directory);
  });

  test("the directory itself, when there is no package.json above it", () => {
    write("loose/tasks.ts");
    expect(findProjectRoot(at("loose"))).toBe(at("loose"));
  });

  test("found through symlinks, so that a linked package has the root of its real place", () => {
    write("project/package.json", "{}");
    write("project/src/tasks.ts");
    symlinkSync(at("project/src"), at("link"));
    expect(findProjectRoot(at("link"))).toBe(at("project"));
  });

  test("also found past a package.json that cannot be read", () => {
    write("package.json", "{}");
    write("broken/package.json", "{ not json");
    expect(findProjectRoot(at("broken"))).toBe(at("broken"));
  });
});

describe("the path of a module", () => {
  test("is relative to the root, and leads back to the module", () => {
    write("src/my tasks.ts");
    const url = pathToFileURL(at("src/my tasks.ts")).href;
    expect(toModulePath(directory, url)).toBe("src/my tasks.ts");
    expect(fromModulePath(directory, "src/my tasks.ts")).toBe(url);
  });

  test("goes through symlinks, of the module and of the root", () => {
    write("project/src/tasks.ts");
    symlinkSync(at("project"), at("link"));
    const url = pathToFileURL(at("link/src/tasks.ts")).href;
    expect(toModulePath(at("project"), url)).toBe("src/tasks.ts");
    expect(toModulePath(at("link"), url)).toBe("src/tasks.ts");
    expect(fromModulePath(at("link"), "src/tasks.ts")).toBe(pathToFileURL(at("project/src/tasks.ts")).href);
  });

  test("of a module outside the root, or of none, is an error", () => {
    write("project/package.json", "{}");
    write("other/tasks.ts");
    const convert = (path: string) => () => toModulePath(at("project"), pathToFileURL(at(path)).href);
    expect(convert("other/tasks.ts")).toThrow(ModulePathError);
    expect(convert("other/tasks.ts")).toThrow(`it is outside the project root ${at("project")}`);
    expect(convert("project/missing.ts")).toThrow("there is no such file");
  });

  test("may have names that begin with dots, and steps back inside the root", () => {
    write("..tasks/a.ts");
    expect(fromModulePath(directory, "..tasks/a.ts")).toBe(pathToFileURL(at("..tasks/a.ts")).href);
    expect(fromModulePath(directory, "..tasks/../..tasks/a.ts")).toBe(pathToFileURL(at("..tasks/a.ts")).href);
  });
});

describe("a message cannot name code outside the root", () => {
  beforeEach(() => {
    write("secret.ts");
    write("root/src/tasks.ts");
    symlinkSync(at("secret.ts"), at("root/link.ts"));
    symlinkSync(directory, at("root/up"));
    symlinkSync(at("root/circle.ts"), at("root/circle.ts"));
    execFileSync("mkfifo", [at("root/pipe.js")]);
  });

  test.each([
    ["nothing", ""],
    ["a step up", "../secret.ts"],
    ["the parent", ".."],
    ["a step up in the middle", "src/../../secret.ts"],
    ["an absolute path", "/etc/passwd"],
    ["a URL of a file", "file:///etc/passwd"],
    ["a URL of data", "data:text/javascript,1"],
    ["a module of Node", "node:fs"],
    ["a drive of Windows", "C:/secret.ts"],
    ["backslashes", "..\\secret.ts"],
    ["a NUL", "src/tasks.ts\0.js"],
    ["a link to a file outside", "link.ts"],
    ["a link to a directory outside", "up/secret.ts"],
    ["a file that is not there", "src/missing.ts"],
    ["a directory", "src"],
    ["a pipe", "pipe.js"],
    ["a link in a circle", "circle.ts"],
    ["steps up that are escaped as in a URL", "src/%2e%2e/%2e%2e/secret.ts"],
    ["a query", "src/tasks.ts?x=1"],
    ["a fragment", "src/tasks.ts#x"],
    ["a host", "//host/secret.ts"],
    ["a URL of the web", "https://example.com/secret.js"],
    ["a name that is too long", `${"a".repeat(5_000)}.js`],
  ])("by %s", (_, path) => {
    expect(() => fromModulePath(at("root"), path)).toThrow(ModulePathError);
  });

  test("and the error says why", () => {
    expect(() => fromModulePath(at("root"), "..\\x")).toThrow(
      "it is not a relative path with forward slashes",
    );
    expect(() => fromModulePath(at("root"), "../secret.ts")).toThrow("it leads out of the project root");
    expect(() => fromModulePath(at("root"), "link.ts")).toThrow(
      "it is a link that leads out of the project root",
    );
  });
});

describe("this process's root", () => {
  test("can be told, and is resolved", () => {
    write("project/package.json", "{}");
    symlinkSync(at("project"), at("link"));
    setProjectRoot(at("link"));
    expect(currentProjectRoot()).toBe(at("project"));
  });

  const printRoot = `
    import { currentProjectRoot, entryModule } from "@millrace/core/internal";
    console.log(JSON.stringify([entryModule() ?? null, currentProjectRoot()]));
  `;

  test("is that of the working directory, in a process that was started with no file", async () => {
    const { stdout } = await runNode(printRoot);
    expect(JSON.parse(stdout)).toEqual([null, findProjectRoot(process.cwd())]);
  });

  test("is that of the file that the process was started with, unless that is a tool of node_modules", async () => {
    write("project/package.json", "{}");
    write("project/main.js");
    write("project/node_modules/tool/cli.js");
    const rootOf = async (path: string) =>
      JSON.parse((await runNode(`process.argv[1] = ${JSON.stringify(at(path))};\n${printRoot}`)).stdout);
    expect(await rootOf("project/main.js")).toEqual([at("project/main.js"), at("project")]);
    expect((await rootOf("project/node_modules/tool/cli.js"))[0]).toBeNull();
  });
});
