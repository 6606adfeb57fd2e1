import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { processArguments, threadArguments, tsxOf } from "./typescript-loader.ts";

const NPX = "/root/.npm/_npx/fd45a72a545557e9/node_modules/tsx";

describe("the tsx that the process was started with is found", () => {
  let home: string;
  let manifest: string;
  let loader: string;

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "millrace tsx "));
    const directory = join(home, "node_modules", "tsx");
    await mkdir(join(directory, "dist"), { recursive: true });
    manifest = join(directory, "package.json");
    loader = join(directory, "dist", "loader.mjs");
    await writeFile(manifest, "{}");
  });

  afterEach(() => rm(home, { recursive: true }));

  test("in the arguments that `npx tsx` leaves", () => {
    const preflight = join(home, "node_modules", "tsx", "dist", "preflight.cjs");
    expect(tsxOf(["--require", preflight, "--import", pathToFileURL(loader).href])).toBe(manifest);
  });

  test.each([
    ["as a URL", () => ["--import", pathToFileURL(loader).href]],
    ["as a path", () => ["--import", loader]],
    ["behind an equals sign", () => [`--import=${pathToFileURL(loader).href}`]],
    ["behind other arguments", () => ["--enable-source-maps", "--import", loader]],
  ])("%s", (_, args) => {
    expect(tsxOf(args())).toBe(manifest);
  });

  test.each<[string, string[]]>([
    ["no argument names it", ["--enable-source-maps", "--import", "./setup.mjs"]],
    ["it is named without its place", ["--import", "tsx"]],
    ["its place is gone", ["--import", "file:///gone/node_modules/tsx/dist/loader.mjs"]],
  ])("unless %s", (_, args) => {
    expect(tsxOf(args)).toBeUndefined();
  });
});

test("the tests' own tsx is where its arguments say", () => {
  const loader = createRequire(import.meta.url).resolve("tsx");
  expect(existsSync(tsxOf(["--import", loader])!)).toBe(true);
});

describe("worker processes inherit the arguments of Node", () => {
  test.each<[string, string[], string[]]>([
    ["none", [], []],
    [
      "as they are",
      ["--max-old-space-size=4096", "--enable-source-maps"],
      ["--max-old-space-size=4096", "--enable-source-maps"],
    ],
    [
      "without what `npx tsx` adds",
      ["--require", `${NPX}/dist/preflight.cjs`, "--import", `file://${NPX}/dist/loader.mjs`],
      [],
    ],
    ["without --import tsx", ["--import", "tsx", "--inspect"], ["--inspect"]],
    ["without --import=tsx/esm", ["--import=tsx/esm"], []],
    ["without -r tsx/cjs", ["-r", "tsx/cjs"], []],
    ["without --loader tsx", ["--loader", "tsx"], []],
    [
      "with other modules to load",
      ["--import", "./setup.mjs", "-r", "dotenv/config"],
      ["--import", "./setup.mjs", "-r", "dotenv/config"],
    ],
    [
      "also of a project called tsx",
      ["--import", "/home/me/tsx/setup.mjs", "--env-file=/srv/tsx/.env"],
      ["--import", "/home/me/tsx/setup.mjs", "--env-file=/srv/tsx/.env"],
    ],
    ["without the program of `node --eval`", ["--input-type=module", "--eval", "main()"], []],
    ["without that of `node -p`", ["--input-type", "module", "-p", "main()", "--inspect"], ["--inspect"]],
    ["and of packages that are called so in part", ["--import", "@me/tsx"], ["--import", "@me/tsx"]],
  ])("%s", (_, given, kept) => {
    expect(processArguments(given)).toEqual(kept);
  });
});

describe("threads", () => {
  test.each<[string, string[], string[] | undefined]>([
    [
      "inherit what their process has, which they could not be given",
      ["--max-old-space-size=4096", "--expose-gc"],
      undefined,
    ],
    ["do not inherit tsx", ["--import", "tsx"], []],
    [
      "get what loads modules beside tsx",
      ["--import", "tsx", "-r", "./setup.cjs", "-C", "dev"],
      ["-r", "./setup.cjs", "-C", "dev"],
    ],
    [
      "do not get what a thread refuses beside tsx",
      ["--max-old-space-size=4096", "--import=tsx", "--title=x", "--enable-source-maps"],
      ["--enable-source-maps"],
    ],
  ])("%s", (_, given, kept) => {
    expect(threadArguments(given)).toEqual(kept);
  });
});
