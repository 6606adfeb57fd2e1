/**
 * Makes a clone ready to run: what `npm test` and `npm run demo` need before they start. Checks Node, installs the
 * packages that package-lock.json names when they are not there, and builds what has changed. Says nothing when there
 * is nothing to do. No dependencies: it runs before there are any.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const oldestNode = [20, 20];

checkNode(process.versions.node);
if (!isInstalled()) install();
build();

function checkNode(version) {
  const [major, minor] = version.split(".").map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  fail(`Millrace needs Node.js ${oldestNode.join(".")} or newer; this is Node.js ${version}.`);
}

/**
 * Whether node_modules holds what package-lock.json names. npm keeps a copy of the lock file there, of what it put in
 * place; comparing the two is exact where the times of the files are not (git and npm set them as they please).
 */
function isInstalled() {
  const wanted = lockedPackages("package-lock.json");
  const present = lockedPackages(join("node_modules", ".package-lock.json"));
  if (wanted === undefined) return existsSync(join(root, "node_modules"));
  if (present === undefined) return false;
  return Object.entries(wanted).every(([path, { version, optional, link }]) => {
    if (!path.includes("node_modules/")) return true; // the project's own packages
    const found = present[path];
    if (found === undefined) return optional === true; // such as the binaries for other systems
    return found.version === version && found.link === link;
  });
}

function lockedPackages(file) {
  const path = join(root, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

function install() {
  console.error("Installing the packages of package-lock.json (npm ci) …");
  if (npm("ci") === 0) return;
  // npm ci refuses a lock file that lacks what it would have put there itself, such as a binary for another system.
  console.error("npm ci failed: see above. Trying npm install …");
  if (npm("install") === 0) return;
  fail("npm install failed too: see above. It needs the npm registry; then run the same command again.");
}

/** Runs npm; it tells the scripts that it runs where it is itself, and else it is on the PATH. */
function npm(command) {
  const args = [command, "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const script = process.env.npm_execpath;
  return script?.endsWith(".js") ? run(process.execPath, [script, ...args]) : run("npm", args);
}

function build() {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  if (run(process.execPath, [tsc, "-b"]) !== 0) fail("The build (tsc -b) failed: see above.");
}

/** Runs a command in the root of the project, its output beside ours on stderr: stdout is the caller's. */
function run(command, args) {
  // Only npm.cmd of Windows needs a shell.
  const shell = process.platform === "win32" && command !== process.execPath;
  return spawnSync(command, args, { cwd: root, shell, stdio: ["ignore", 2, 2] }).status;
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
