/**
 * Programs that the suite starts. Each writes to a file of its own, which is there to be read when something went wrong,
 * and takes no memory in a run of an hour.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RUN_MARK } from "../support/leaks.ts";
import { JOURNAL_VARIABLE } from "./journal.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Program {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  readonly startedAt: number;
  /** All that it has written. */
  output(): string;
}

export class Programs {
  readonly #directory: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #running = new Set<Program>();
  #count = 0;

  /** Known to the programs by an environment variable, and by which those are found that their parents have left behind. */
  readonly mark = `chaos-${randomUUID()}`;

  /** @param journals where tasks leave when they began and ended */
  constructor(directory: string, journals: string) {
    this.#directory = directory;
    // A standing cluster of the user's is none of the suite's business.
    const { MILLRACE_REDIS_URL: _, ...environment } = process.env;
    this.#environment = { ...environment, [RUN_MARK]: this.mark, [JOURNAL_VARIABLE]: journals };
  }

  /** Starts a program whose standard input stays open until `child.stdin.end()`, or until this process is gone. */
  start(name: string, command: string, args: readonly string[]): Program {
    const file = join(this.#directory, `${++this.#count}-${name}.log`);
    const log = openSync(file, "a");
    const child = spawn(command, args, { cwd: ROOT, env: this.#environment, stdio: ["pipe", log, log] });
    closeSync(log);
    child.stdin?.on("error", () => {}); // It ended while something was said to it: `exited` tells.
    const exited = new Promise<Exit>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        this.#running.delete(program);
        resolve({ code, signal });
      });
    });
    const program: Program = {
      ...{ name, pid: child.pid as number, child, exited },
      startedAt: Date.now(),
      output: () => readFileSync(file, "utf8"),
    };
    this.#running.add(program);
    return program;
  }

  /** Ends what still runs. */
  async killAll(): Promise<void> {
    await Promise.all(
      [...this.#running].map(({ child, exited }) => {
        child.kill("SIGKILL");
        return exited.catch(() => {});
      }),
    );
  }
}
