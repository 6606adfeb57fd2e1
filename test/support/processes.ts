/** Programs that tests start: as a user would from a shell, and never left running. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { inject } from "vitest";
import { until } from "./until.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
export const CLI = `${ROOT}/packages/millrace/dist/cli.js`;
export const TSX = `${ROOT}/node_modules/.bin/tsx`;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  /** What it has written so far. */
  readonly output: { stdout: string; stderr: string };
}

interface StartOptions {
  readonly cwd?: string;
  /** Added to the environment of the tests; undefined takes a variable out. */
  readonly env?: NodeJS.ProcessEnv;
  /** In a process group of its own, as a terminal's shell starts a program. Default: no. */
  readonly ownGroup?: boolean;
}

const running = new Set<Program>();

export function start(
  command: string,
  args: readonly string[],
  { cwd = ROOT, env = {}, ownGroup = false }: StartOptions = {},
): Program {
  const child = spawn(command, args, {
    cwd,
    env: userEnvironment(env),
    stdio: ["ignore", "pipe", "pipe"],
    detached: ownGroup,
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running.delete(program);
      resolve({ code, signal, ...output });
    });
  });
  const program: Program = { pid: child.pid as number, child, exited, output };
  running.add(program);
  return program;
}

/** Runs a program to its end. One that does not end by itself is killed, and its exit has the signal. */
export async function run(
  command: string,
  args: readonly string[],
  options: StartOptions = {},
  timeoutMs = 45_000,
): Promise<Exit> {
  const program = start(command, args, options);
  const timer = setTimeout(() => program.child.kill("SIGKILL"), timeoutMs);
  try {
    return await program.exited;
  } finally {
    clearTimeout(timer);
  }
}

/** Starts `millrace worker` and waits until it says that it serves. */
export function startWorker(namespace: string, ...args: readonly string[]): Promise<Program> {
  return startWorkerIn({}, namespace, ...args);
}

/** The same, with more in its environment. */
export async function startWorkerIn(
  env: NodeJS.ProcessEnv,
  namespace: string,
  ...args: readonly string[]
): Promise<Program> {
  const redis = ["--redis", inject("redisUrl"), "--namespace", namespace, "--root", ROOT];
  const program = start(process.execPath, [CLI, "worker", ...redis, ...args], { env });
  await Promise.race([
    until("the worker serves", () => program.output.stderr.includes("Millrace worker ")),
    program.exited.then(({ code, stderr }) => {
      throw new Error(`Expected a worker that serves, got exit code ${code}: ${stderr}`);
    }),
  ]);
  return program;
}

/** Ends a program as its operator would. */
export function terminate(program: Program): Promise<Exit> {
  program.child.kill("SIGTERM");
  return program.exited;
}

/** Sends it until it has had its effect, as an impatient operator does: signals that come close together count as one. */
export async function signalUntilExit(program: Program, signal: NodeJS.Signals): Promise<Exit> {
  let hasExited = false;
  const exit = program.exited.finally(() => {
    hasExited = true;
  });
  await until("it has exited", () => hasExited || !program.child.kill(signal));
  return exit;
}

/** For afterEach: ends what a failed test left running. */
export async function killPrograms(): Promise<void> {
  await Promise.all(
    [...running].map(({ child, exited }) => {
      child.kill("SIGKILL");
      return exited.catch(() => {});
    }),
  );
}

/** A user's shell has nothing of Vitest in its environment. */
function userEnvironment(changes: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries({ ...process.env, ...changes })) {
    if (
      value !== undefined &&
      !/^(VITEST|VITE_|TEST$|DEV$|PROD$|MODE$|SSR$|BASE_URL$|NODE_ENV$|NODE_OPTIONS$)/.test(name)
    ) {
      environment[name] = value;
    }
  }
  return environment;
}

/** The processes of this program that a process has started, or that those have. */
export async function descendantsOf(pid: number, program: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,comm="]);
  const rows = stdout
    .trim()
    .split("\n")
    .map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) as string[])
    .map(([, own, parent, name]) => ({ own: Number(own), parent: Number(parent), name: name as string }));
  const found = new Set([pid]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const { own, parent } of rows) if (found.has(parent)) found.add(own);
  }
  return rows
    .filter(({ own, name }) => own !== pid && found.has(own) && name.endsWith(program))
    .map(({ own }) => own);
}
