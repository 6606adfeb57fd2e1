import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { findBreaches, type SourceFile } from "./import-rules.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

test("the packages keep the rules of who may import what", async () => {
  const files = await readSources();
  expect(files.length).toBeGreaterThan(0);
  expect(findBreaches(files)).toEqual([]);
});

/** Reads every TypeScript file of the packages' src and testing directories. */
async function readSources(): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const packageDirectory of await readdir(join(ROOT, "packages"))) {
    for (const directory of ["src", "testing"]) {
      const parent = join(ROOT, "packages", packageDirectory, directory);
      for (const name of await listIfPresent(parent)) {
        if (!name.endsWith(".ts")) continue;
        const path = join(parent, name);
        files.push({ path: relative(ROOT, path).split(sep).join("/"), text: await readFile(path, "utf8") });
      }
    }
  }
  return files;
}

async function listIfPresent(directory: string): Promise<string[]> {
  try {
    return await readdir(directory, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

// A user's module imports millrace in every thread, so what it loads is paid for each time: bullmq and ioredis alone
// take about 0.4 s for two threads. They load where they are used.
const LOADED_LATER = ["bullmq", "ioredis", "piscina", "testcontainers"];

test("importing millrace loads no library that only some programs use", async () => {
  const loaded = await modulesLoadedBy(pathToFileURL(join(ROOT, "packages/millrace/dist/index.js")).href);
  expect(loaded.some((module) => module.includes("/packages/core/dist/"))).toBe(true);
  expect(loaded.filter((module) => libraryOf(module) !== undefined)).toEqual([]);
});

test("what a module loads is seen, whether imported or required", async () => {
  const imported = await modulesLoadedBy(
    `data:text/javascript,import ${JSON.stringify(import.meta.resolve("ioredis"))}`,
  );
  expect(imported.map(libraryOf)).toContain("ioredis");
  const required = await modulesLoadedBy(
    `data:text/javascript,process.getBuiltinModule("node:module").createRequire(${JSON.stringify(import.meta.url)})("ioredis")`,
  );
  expect(required.map(libraryOf)).toContain("ioredis");
});

/** Which of the libraries a module's path or URL belongs to. */
function libraryOf(module: string): string | undefined {
  return LOADED_LATER.find((library) => module.replaceAll("\\", "/").includes(`/node_modules/${library}/`));
}

/** The URLs of ES modules and the paths of CommonJS modules that a new Node process loads when it imports `url`. */
async function modulesLoadedBy(url: string): Promise<string[]> {
  // Module hooks run in a thread of their own, which writes each URL to standard output before the module runs.
  const hooks = `
    import { writeSync } from "node:fs";
    export async function load(url, context, nextLoad) {
      writeSync(1, url + "\\n");
      return nextLoad(url, context);
    }`;
  const script = `
    import { createRequire, register } from "node:module";
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});
    await import(${JSON.stringify(url)});
    for (const path of Object.keys(createRequire(import.meta.url).cache)) console.log(path);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: ROOT,
  });
  return stdout.trim().split("\n");
}
