import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join, parse, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ModulePathError } from "../errors/errors.ts";

/**
 * The root of the project that a directory belongs to: the nearest directory above it that declares workspaces, else
 * the nearest with a package.json, else the directory itself. Symlinks are resolved, so that a linked package and its
 * real directory have one root.
 */
export function findProjectRoot(directory: string): string {
  const start = realpathSync(directory);
  let nearest: string | undefined;
  for (let current = start; ; current = dirname(current)) {
    if (declaresWorkspaces(current)) return current;
    if (nearest === undefined && existsSync(join(current, "package.json"))) nearest = current;
    if (current === parse(current).root) return nearest ?? start;
  }
}

function declaresWorkspaces(directory: string): boolean {
  if (existsSync(join(directory, "pnpm-workspace.yaml"))) return true;
  try {
    return "workspaces" in JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  } catch {
    return false; // No package.json, or one that its own tools will complain about.
  }
}

/** The file that this process was started with, when it is the user's: not a tool out of node_modules. */
export function entryModule(): string | undefined {
  const file = process.argv[1];
  if (file === undefined || !existsSync(file)) return undefined;
  const real = realpathSync(file);
  return real.split(sep).includes("node_modules") ? undefined : real;
}

let processRoot: string | undefined;

/** The root of the project that this process runs: that of its entry module, else that of its working directory. */
export function currentProjectRoot(): string {
  if (processRoot === undefined) {
    const entry = entryModule();
    processRoot = findProjectRoot(entry === undefined ? process.cwd() : dirname(entry));
  }
  return processRoot;
}

/** Tells this process its root: a worker is told where it serves. */
export function setProjectRoot(root: string): void {
  processRoot = realpathSync(root);
}

/**
 * The path of a module relative to the root, with forward slashes: the same on every machine that has the project.
 *
 * @throws ModulePathError when the module is outside the root, or is no file
 */
export function toModulePath(root: string, moduleUrl: string): string {
  const file = realFile(fileURLToPath(moduleUrl));
  const path = relative(realpathSync(root), file);
  if (leaves(path)) throw new ModulePathError(file, `it is outside the project root ${root}`);
  return path.split(sep).join("/");
}

/**
 * The `file:` URL of a module path that came in a message.
 *
 * @throws ModulePathError when it is not a relative path, leaves the root (also through a symlink), or is no file
 */
export function fromModulePath(root: string, modulePath: string): string {
  if (
    modulePath === "" ||
    modulePath.includes("\0") ||
    modulePath.includes("\\") ||
    /^[a-z]+:/i.test(modulePath)
  ) {
    throw new ModulePathError(modulePath, "it is not a relative path with forward slashes");
  }
  const file = resolve(root, modulePath);
  if (modulePath.startsWith("/") || leaves(relative(root, file))) {
    throw new ModulePathError(modulePath, `it leads out of the project root ${root}`);
  }
  const real = realFile(file);
  if (leaves(relative(realpathSync(root), real))) {
    throw new ModulePathError(modulePath, `it is a link that leads out of the project root ${root}`);
  }
  // The import of a pipe would never end, and that of a device might never stop reading.
  if (!statSync(real).isFile()) throw new ModulePathError(modulePath, "it is not a file");
  return pathToFileURL(real).href;
}

function realFile(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    throw new ModulePathError(file, "there is no such file");
  }
}

function leaves(relativePath: string): boolean {
  return relativePath === ".." || relativePath.startsWith(`..${sep}`) || parse(relativePath).root !== "";
}
