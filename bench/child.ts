import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Something hangs: that is an error, and not a long measure. */
const TIMEOUT_MS = 300_000;

/** Runs a script of this directory with `node` in a fresh process, and gives what it printed. */
export async function runChild(script: string, args: readonly string[]): Promise<string> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  // A standing cluster would be used in place of the private server that is measured.
  const { MILLRACE_REDIS_URL: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args], {
    env,
    timeout: TIMEOUT_MS,
  });
  return stdout.trim();
}
