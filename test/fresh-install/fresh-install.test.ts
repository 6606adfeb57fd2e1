/**
 * What a user gets: packs every package, installs the tarballs in an empty project outside the workspace, and runs the
 * first example of README.md there. It finds what the workspace hides: a file that is not packed, a dependency that is
 * not declared, a type that is not exported.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PACKAGES = ["core", "broker", "worker", "runner-distributed", "millrace"];
const INSTALL_TIMEOUT_MS = 180_000;
const RUN_TIMEOUT_MS = 60_000;

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly engines?: { readonly node?: string };
  readonly exports?: unknown;
  readonly bin?: unknown;
  readonly repository?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
}

interface Tarball {
  readonly path: string;
  /** What is in it, by paths relative to the package. */
  readonly files: readonly string[];
}

let directory: string;
const tarballs = new Map<string, Tarball>();
const manifests = new Map<string, PackageJson>();

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "millrace-fresh-install-")));
  for (const name of PACKAGES) {
    const source = join(ROOT, "packages", name);
    manifests.set(name, JSON.parse(await readFile(join(source, "package.json"), "utf8")));
    const stdout = await run("npm", ["pack", "--json", "--pack-destination", directory], { cwd: source });
    const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    tarballs.set(name, {
      path: join(directory, packed.filename),
      files: packed.files.map(({ path }) => path),
    });
  }
}, INSTALL_TIMEOUT_MS);

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe.each(PACKAGES)("the tarball of packages/%s", (name) => {
  test("has complete metadata", () => {
    const manifest = manifests.get(name)!;
    expect(manifest).toMatchObject({
      name: name === "millrace" ? "millrace" : `@millrace/${name}`,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      description: expect.stringMatching(/\w+/),
      license: "MIT",
      type: "module",
      engines: { node: ">=20.20" },
      exports: { ".": { types: expect.any(String), default: expect.any(String) } },
    });
  });

  test("holds every file that its metadata names", () => {
    const { exports, bin } = manifests.get(name)!;
    const named = [...pathsIn(exports), ...pathsIn(bin)].map((path) => path.replace(/^\.\//, ""));
    expect(named.length).toBeGreaterThan(0);
    expect(tarballs.get(name)!.files).toEqual(expect.arrayContaining(named));
  });

  test("depends on exact versions, and on this very version of its siblings", () => {
    const versions = new Map([...manifests.values()].map((manifest) => [manifest.name, manifest.version]));
    for (const [dependency, range] of Object.entries(manifests.get(name)!.dependencies ?? {})) {
      expect(range, dependency).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
      if (versions.has(dependency)) expect(range, dependency).toBe(versions.get(dependency));
    }
  });

  test("holds the licence, and neither tests nor leftovers of the build", () => {
    const { files } = tarballs.get(name)!;
    expect(files).toContain("LICENSE");
    expect(files).toContain("package.json");
    expect(
      files.filter((path) => /\.test(-d)?\.|(^|\/)(test|tests|testing)\/|tsbuildinfo/.test(path)),
    ).toEqual([]);
  });

  test("holds the compiled form and the types of each of its sources", () => {
    const { files } = tarballs.get(name)!;
    const sources = files.filter((path) => path.startsWith("src/"));
    expect(sources.length).toBeGreaterThan(0);
    const compiled = sources.flatMap((path) =>
      [".js", ".d.ts"].map((extension) => path.replace(/^src\/(.*)\.ts$/, `dist/$1${extension}`)),
    );
    expect(files).toEqual(expect.arrayContaining(compiled));
  });
});

describe("an empty project with millrace installed", () => {
  let project: string;
  let example: Example;

  beforeAll(async () => {
    project = join(directory, "project");
    await mkdir(project);
    await writeFile(
      join(project, "package.json"),
      JSON.stringify({ name: "fresh", private: true, type: "module" }),
    );
    await run(
      "npm",
      [
        ...["install", "--no-audit", "--no-fund", "--prefer-offline"],
        ...[...tarballs.values()].map(({ path }) => path),
      ],
      { cwd: project, timeout: INSTALL_TIMEOUT_MS },
    );
    example = await firstExample();
    await writeFile(join(project, "report.ts"), example.code);
  }, INSTALL_TIMEOUT_MS);

  test("has nothing from the workspace in it", async () => {
    for (const name of [...(await readdir(join(project, "node_modules/@millrace"))), "../millrace"]) {
      const path = join(project, "node_modules/@millrace", name);
      expect(await realpath(path)).toBe(path);
    }
  });

  test("runs the first example of README.md as TypeScript", { timeout: RUN_TIMEOUT_MS }, async () => {
    const stdout = await run(join(project, "node_modules/.bin/tsx"), ["report.ts"], { cwd: project });
    expect(stdout.trim().split("\n")).toEqual(example.prints);
  });

  test("runs it as JavaScript, with nothing but Node on the PATH", { timeout: RUN_TIMEOUT_MS }, async () => {
    const { transformSync } = createRequire(join(project, "package.json"))("esbuild") as {
      transformSync(code: string, options: { loader: "ts" }): { code: string };
    };
    await writeFile(join(project, "report.js"), transformSync(example.code, { loader: "ts" }).code);
    const bin = join(directory, "bin");
    await mkdir(bin);
    await symlink(process.execPath, join(bin, "node"));
    const stdout = await run("node", ["report.js"], { cwd: project, path: bin });
    expect(stdout.trim().split("\n")).toEqual(example.prints);
  });

  test("has types that fit it", { timeout: RUN_TIMEOUT_MS }, async () => {
    const typescript = join(ROOT, "node_modules/typescript/bin/tsc");
    const flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2023", "--module", "nodenext"];
    const types = ["--types", "node", "--typeRoots", join(ROOT, "node_modules/@types")];
    await run(process.execPath, [typescript, ...flags, ...types, "report.ts"], { cwd: project });
  });
});

// ---- The example -------------------------------------------------------------------------------------------------

interface Example {
  readonly code: string;
  /** The lines that it prints: what its comments after `console.log(…);` say. */
  readonly prints: readonly string[];
}

/** Reads the first TypeScript block of README.md, whose calls of console.log say in a comment what they print. */
async function firstExample(): Promise<Example> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const code = /^```ts\n(.*?)^```/ms.exec(readme)?.[1];
  if (code === undefined)
    throw new Error("Expected README.md to hold an example in a ```ts block, got none.");
  const prints = [...code.matchAll(/console\.log\(.*\);?[ \t]*\/\/[ \t]*(?:prints )?(.+)$/gm)].map(
    ([, text]) => text!.trim(),
  );
  if (prints.length === 0) {
    throw new Error(
      "Expected the first example of README.md to say what it prints, as in `console.log(await report()); // 84`, " +
        "got no such comment.",
    );
  }
  return { code, prints };
}

// ---- Running programs --------------------------------------------------------------------------------------------

/** Runs a program to its end and gives what it prints. Throws with all of its output when it fails. */
async function run(
  program: string,
  parameters: readonly string[],
  options: { cwd: string; timeout?: number; path?: string },
): Promise<string> {
  const { cwd, timeout = RUN_TIMEOUT_MS, path } = options;
  const environment = outsideEnvironment();
  if (path !== undefined) environment.PATH = path;
  try {
    const { stdout } = await promisify(execFile)(program, parameters, {
      cwd,
      timeout,
      env: environment,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "", message } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`);
  }
}

/** The environment without what npm and Vitest put into it, which a user's shell does not have. */
function outsideEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {};
  const inside =
    /^(npm_(package|lifecycle|command|execpath|node_execpath|config_local_prefix)|INIT_CWD|NODE_|VITEST|VITE_|TEST$|DEV$|PROD$|MODE$|SSR$|BASE_URL$)/i;
  for (const [name, value] of Object.entries(process.env)) {
    if (!inside.test(name)) environment[name] = value;
  }
  const searchPath = (process.env.PATH ?? "").split(delimiter);
  environment.PATH = searchPath.filter((entry) => !entry.includes("node_modules")).join(delimiter);
  return environment;
}

/** The paths of files that a value of `exports` or `bin` names, at whatever depth. */
function pathsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(pathsIn);
}
