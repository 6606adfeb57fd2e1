import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { WorkerStartError } from "@millrace/core";
import { decode, processLogger } from "@millrace/core/internal";
import { processArguments } from "../in-thread/typescript-loader.ts";
import { processDeathSentence } from "./death-sentence.ts";
import type { FromWorkerProcess, ToWorkerProcess } from "./nanny-protocol.ts";
import type { WorkerProcessOptions } from "./worker-process.ts";

export interface NannyOptions {
  readonly worker: Omit<WorkerProcessOptions, "workerId">;
  /** A process that waits for its start already, to begin with. Default: the nanny starts one. */
  readonly process?: ChildProcess | undefined;
  /** Told at once when the process has died by itself; the next one starts meanwhile. */
  readonly onDeath: (workerId: string, reason: string) => void;
}

const ENTRY = new URL("../../dist/process/worker-process-entry.js", import.meta.url);

/**
 * Starts a process that loads what a worker needs, and waits for its options from a nanny. It ends with this process, or
 * when this one disconnects from it.
 */
export function forkWorkerProcess(): ChildProcess {
  const child = fork(ENTRY, {
    execArgv: processArguments(process.execArgv),
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  child.on("error", () => {}); // One that could not be started has ended, and is replaced.
  return child;
}

/** A start takes 0.5 s with TypeScript on a busy machine; one that takes this long will not come. */
const START_TIMEOUT_MS = 30_000;

/** The wait before a process is started again doubles with every death that follows a start closely. */
const FIRST_RESTART_MS = 50;
const LONGEST_RESTART_MS = 5_000;
const CLOSELY_MS = 10_000;

/** How much longer than the worker's own grace its process may take to end. */
const EXTRA_STOP_MS = 2_000;

/**
 * Starts, watches and restarts one worker process.
 *
 * starting: the process is there, its worker is not ready. running. restarting: it died, the next one is due. stopped.
 */
export class Nanny {
  readonly #options: NannyOptions;
  #firstProcess: ChildProcess | undefined;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restartTimer: NodeJS.Timeout | undefined;
  #restartMs = FIRST_RESTART_MS;
  #isStopping = false;

  constructor(options: NannyOptions) {
    this.#options = options;
    this.#firstProcess = options.process;
  }

  /** The process that works at this moment, for those who want to look at it, or to kill it in a test. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the worker is ready. @throws what kept it from starting */
  async start(): Promise<void> {
    const workerId = randomUUID();
    const startedAt = performance.now();
    const first = this.#firstProcess;
    this.#firstProcess = undefined;
    const child = first !== undefined && isAlive(first) ? first : forkWorkerProcess();
    this.#child = child;
    const exit = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(`It could not be started: ${error.message}.`));
      child.once("exit", (code, signal) => resolve(processDeathSentence(code, signal)));
    });
    this.#exited = exit.then(() => {});
    const message: ToWorkerProcess = { type: "start", options: { ...this.#options.worker, workerId } };
    child.send(message, () => {}); // A process that is gone already is told of by its exit.
    await ready(child, exit);
    void exit.then((reason) => this.#onExit(workerId, reason, performance.now() - startedAt));
  }

  /** Stops the process, within the worker's grace, and kills it when it does not. Never rejects; safe to call twice. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restartTimer);
    const child = this.#child;
    if (child === undefined || !isAlive(child)) return this.#exited;
    const message: ToWorkerProcess = { type: "stop" };
    if (child.connected) child.send(message, () => {});
    const patience = this.#options.worker.graceSeconds * 1000 + EXTRA_STOP_MS;
    const timer = setTimeout(() => child.kill("SIGKILL"), patience);
    await this.#exited;
    clearTimeout(timer);
  }

  #onExit(workerId: string, reason: string, lifetimeMs: number): void {
    if (this.#isStopping) return;
    processLogger().warn({ workerId, reason }, "a worker process died and is started again");
    this.#options.onDeath(workerId, reason);
    this.#restartMs = lifetimeMs > CLOSELY_MS ? FIRST_RESTART_MS : this.#restartMs;
    this.#restartLater();
  }

  #restartLater(): void {
    this.#restartTimer = setTimeout(() => {
      this.start().catch((error: unknown) => {
        if (this.#isStopping) return;
        processLogger().error({ err: error }, "a worker process could not be started again");
        this.#restartLater();
      });
    }, this.#restartMs);
    this.#restartMs = Math.min(2 * this.#restartMs, LONGEST_RESTART_MS);
  }
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

/** Waits for the worker's word that it is ready. */
async function ready(child: ChildProcess, exit: Promise<string>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const word = new Promise<void>((resolve, reject) => {
    child.on("message", (message: FromWorkerProcess) => {
      if (message.type === "ready") resolve();
      else reject(decode(Buffer.from(message.error, "base64")));
    });
    timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(
        new WorkerStartError(
          `Expected a worker process to be ready within ${START_TIMEOUT_MS / 1000} s, it was not.`,
        ),
      );
    }, START_TIMEOUT_MS);
  });
  const death = exit.then((reason) => {
    throw new WorkerStartError(`Expected a worker process to become ready, but it ended. ${reason}`);
  });
  try {
    await Promise.race([word, death]);
  } finally {
    clearTimeout(timer);
    death.catch(() => {});
  }
}
