/**
 * Finds a Redis server on this machine, or installs one. Plain JavaScript, so that it runs before anything is built.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * The path of a `redis-server` or `valkey-server` in one of the directories of `searchPath` (the value of PATH).
 *
 * @param {string} searchPath
 * @returns {string | undefined}
 */
export function redisOnPath(searchPath) {
  return searchPath
    .split(delimiter)
    .flatMap((directory) => ["redis-server", "valkey-server"].map((name) => join(directory, name)))
    .find(isExecutable);
}

/**
 * Installs `redis-server` from the system's packages. Throws an Error that says why when that cannot be done: it takes
 * Debian, or a system like it, and root.
 */
export function installRedisWithApt() {
  if (process.getuid?.() !== 0) throw new Error("installing with apt-get takes root");
  run("apt-get", ["update"]);
  run("apt-get", ["install", "-y", "--no-install-recommends", "redis-server"]);
}

/**
 * The path of a Redis server on the PATH, installed first where there is none and that can be done. Throws an Error that
 * says what to do otherwise.
 *
 * @returns {string}
 */
export function ensureRedisProgram() {
  const present = redisOnPath(process.env.PATH ?? "");
  if (present !== undefined) return present;
  let reason = "it is not on the PATH";
  try {
    console.error("Installing redis-server (apt-get) …");
    installRedisWithApt();
    const installed = redisOnPath(process.env.PATH ?? "");
    if (installed !== undefined) return installed;
  } catch (error) {
    reason = error.message;
  }
  throw new Error(
    `Expected redis-server or valkey-server on the PATH, found neither, and could not install it: ${reason}. Install ` +
      "redis-server (such as with `apt-get install redis-server` or `brew install redis`), or set MILLRACE_REDIS_URL.",
  );
}

/**
 * @param {string} command
 * @param {string[]} parameters
 */
function run(command, parameters) {
  const { error, status, signal, stderr } = spawnSync(command, parameters, {
    // The package must not start its own server: run level 1 tells Debian's packages to leave services alone.
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
  });
  const line = [command, ...parameters].join(" ");
  if (error !== undefined) throw new Error(`\`${line}\` could not be run: ${error.message}`);
  if (status !== 0) throw new Error(`\`${line}\` ended with ${signal ?? `code ${status}`}: ${stderr.trim()}`);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
