import type { BullMqBroker } from "@millrace/broker/bullmq";
import { currentProjectRoot, enterWorkerMode, processLogger, setProjectRoot } from "@millrace/core/internal";
import { ThreadExecutor } from "../executors/thread-executor.ts";
import { Worker } from "./worker.ts";

/** What a worker process is started with. Plain data: a nanny sends it to the process that it starts. */
export interface WorkerProcessOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly queue: string;
  /** What messages are signed with. Default: they are not signed. */
  readonly secret?: string | undefined;
  readonly threads: number;
  /** See ThreadExecutorOptions. */
  readonly callsPerThread?: number | undefined;
  /** The project root: only modules in it are loaded. */
  readonly root: string;
  readonly workerId?: string;
  /** Modules to load before the first call: paths relative to the root. Default: none. */
  readonly modules?: readonly string[];
  /** The package.json of the tsx to load TypeScript with. Default: the one the process was started with, or the project's. */
  readonly tsx?: string | undefined;
  /** How long calls may go on when the worker is to stop. */
  readonly graceSeconds: number;
  /**
   * false: signals are left alone, since the process has a nanny that says when to stop. Ctrl-C in a terminal goes to every
   * process of a program, which may want its workers for a little longer. Default: true.
   */
  readonly stopsOnSignals?: boolean;
}

/** A worker process at work. */
export interface WorkerProcess {
  readonly workerId: string;
  /** Resolves when the worker has stopped and nothing of it is left. */
  readonly stopped: Promise<void>;
  stop(): void;
  /** Deletes what the worker's cluster has in Redis: its owner is dead, and nobody else will. Never rejects. */
  deleteNamespace(): Promise<void>;
}

/**
 * Makes this process a worker: connects to Redis, starts the threads, and stops on the first SIGTERM or SIGINT. A
 * second signal ends the process at once, with 143 or 130.
 *
 * @throws BrokerUnavailableError, RedisUnsuitableError, WorkerStartError, InvalidOptionError
 */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<WorkerProcess> {
  enterWorkerMode();
  setProjectRoot(options.root);
  const connecting = connect(options);
  const executor = new ThreadExecutor({
    threads: options.threads,
    callsPerThread: options.callsPerThread,
    root: currentProjectRoot(), // The same directory, its symlinks resolved.
    cluster: { redisUrl: options.redisUrl, namespace: options.namespace, queue: options.queue },
    ...("tsx" in options && { tsx: options.tsx }),
  });
  let worker: Worker;
  try {
    const { workerId, modules } = options;
    worker = await Worker.start({
      broker: connecting, // The threads start meanwhile.
      executor,
      ...(workerId !== undefined && { workerId }),
      ...(modules !== undefined && { modules }),
    });
  } catch (error) {
    await connecting.then(
      (broker) => broker.close(),
      () => {},
    );
    throw error;
  }
  const broker = await connecting;
  const { workerId } = worker;
  processLogger().debug({ workerId, threads: options.threads, queue: options.queue }, "worker started");
  let isStopping = false;
  let resolveStopped!: () => void;
  const stopped = new Promise<void>((resolve) => {
    resolveStopped = resolve;
  });
  const stop = async () => {
    isStopping = true;
    await worker.stop(options.graceSeconds);
    await broker.close();
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
    resolveStopped();
  };
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) process.exit(signal === "SIGINT" ? 130 : 143);
    void stop();
  };
  if (options.stopsOnSignals ?? true) for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  return {
    workerId,
    stopped,
    stop: () => void (isStopping || stop()),
    deleteNamespace: () => broker.deleteNamespace(),
  };
}

async function connect(options: WorkerProcessOptions): Promise<BullMqBroker> {
  const { BullMqBroker } = await import("@millrace/broker/bullmq");
  return BullMqBroker.connect(options);
}

export const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;
