import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Exit {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/** Runs an ES module, given as text, in a Node process of its own. It imports "@millrace/core", as built. */
export function runNode(program: string, environment: NodeJS.ProcessEnv = {}): Promise<Exit> {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--input-type=module", "--eval", program],
      { cwd: PACKAGE, env: { ...inherited, ...environment }, timeout: 15_000 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
  });
}
