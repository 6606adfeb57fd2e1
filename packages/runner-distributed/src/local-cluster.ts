import { availableParallelism } from "node:os";
import { type Broker, DEFAULT_QUEUE } from "@millrace/broker";
import { RedisServerError, readSettings, WorkerStartError } from "@millrace/core";
import { currentProjectRoot, inWorkerMode, never, processLogger, rules } from "@millrace/core/internal";
import type { ClusterHost, HostedWorker, HostOptions } from "./cluster-host.ts";
import { type ClusterSize, clusterSize } from "./cluster-size.ts";
import { MemoryHost } from "./memory-host.ts";
import { findRedisServer } from "./redis-executable.ts";
import { RedisHost } from "./redis-host.ts";

export interface LocalClusterOptions {
  /** Workers to start with. Default: one per four cores, rounded up. */
  readonly workers?: number;
  /** Threads of each worker. Default: the cores, shared among the workers. */
  readonly threads?: number;
  /**
   * How many calls a thread may have under way at once while its event loop is idle, as calls that await a network leave it;
   * calls that compute have their thread to themselves. Default: 100.
   */
  readonly callsPerThread?: number;
  /**
   * What is between runners and workers. `memory`: nothing, the workers are threads of this process. `redis`: a Redis
   * and worker processes. `auto`: `redis` when a server is installed, else `memory`. Default: `auto`.
   */
  readonly broker?: "auto" | "redis" | "memory";
  /** URL of the Redis for `broker: "redis"`. Default: that of `MILLRACE_REDIS_URL`, else a private `redis-server`. */
  readonly redis?: string;
  /** The project root, in which workers find task modules. Default: that of the module that Node was started with. */
  readonly root?: string;
}

const optionRules: rules.OptionRules<LocalClusterOptions> = {
  workers: rules.wholeNumber(1),
  threads: rules.wholeNumber(1),
  callsPerThread: rules.wholeNumber(1),
  broker: rules.oneOf("auto", "redis", "memory"),
  redis: rules.text,
  root: rules.text,
};

/** Workers that a named time does not bring are given up. */
const DEFAULT_WAIT_SECONDS = 30;

/**
 * The workers of one machine. Use it to share workers between flow runs, or to size them:
 *
 *     await using cluster = new LocalCluster({ workers: 2, threads: 4 });
 *     const fast = report.withOptions({ taskRunner: new DistributedTaskRunner({ cluster }) });
 */
export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #size: ClusterSize;
  readonly #workers: HostedWorker[] = [];
  #host: ClusterHost | undefined;
  #started: Promise<this> | undefined;
  #closed: Promise<void> | undefined;
  readonly #watchers = new Set<() => void>();
  /** Scaling happens one step after the other. */
  #scaling: Promise<void> = Promise.resolve();

  /** @throws UnknownOptionError, InvalidOptionError */
  constructor(options: LocalClusterOptions = {}) {
    rules.checkOptions("new LocalCluster()", options, optionRules);
    this.#options = options;
    this.#size = clusterSize(availableParallelism(), options);
  }

  /** The workers that are ready. */
  get workers(): number {
    return this.#workers.length;
  }

  /** The processes of the workers; none when they are threads of this process. */
  get pids(): number[] {
    return this.#workers.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /**
   * Starts the cluster, or waits for the start that is under way. A runner does it by itself.
   *
   * @throws RedisServerError, BrokerUnavailableError, RedisUnsuitableError, WorkerStartError
   */
  start(): Promise<this> {
    if (inWorkerMode()) return never();
    // One that was started and closed is not there either: a runner would wait for workers that never come.
    if (this.#closed !== undefined) return Promise.reject(closedError());
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Starts or stops workers until there are `workers`. Those that are stopped finish what they run. */
  scale(workers: number): Promise<void> {
    rules.checkOptions("scale()", { workers }, { workers: rules.wholeNumber(0) });
    const step = this.#scaling.then(async () => {
      await this.start();
      await this.#scaleTo(workers);
    });
    this.#scaling = step.catch(() => {});
    return step;
  }

  /** Resolves when at least `workers` are ready. @throws WorkerStartError when the time passes first */
  async waitForWorkers(workers: number, timeoutSeconds = DEFAULT_WAIT_SECONDS): Promise<void> {
    const deadline = performance.now() + timeoutSeconds * 1000;
    while (this.workers < workers) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        throw new WorkerStartError(
          `Expected ${workers} workers within ${timeoutSeconds} s, got ${this.workers}. Ask for them with scale(${workers}).`,
        );
      }
      await this.#nextWorker(leftMs);
    }
  }

  /** Stops the workers and what they share. Nothing of the cluster is left. Never rejects; safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The way to the workers, for a runner. @internal */
  async broker(): Promise<Broker> {
    await this.start();
    return this.#host!.broker;
  }

  // ---- Starting and stopping -------------------------------------------------------------------------------------

  async #start(): Promise<this> {
    this.#assertOpen();
    this.#host = await this.#openHost();
    processLogger().debug({ ...this.#size, on: this.#host.description }, "local cluster starts");
    try {
      await this.#scaleTo(this.#size.workers);
    } catch (error) {
      await this.#stopAll();
      throw error;
    }
    return this;
  }

  #openHost(): Promise<ClusterHost> | ClusterHost {
    const { broker = "auto", redis, root = currentProjectRoot(), callsPerThread } = this.#options;
    const { threads } = this.#size;
    const options: HostOptions = { threads, callsPerThread, root, queue: DEFAULT_QUEUE };
    if (broker === "memory") return new MemoryHost(options);
    const { redisUrl, searchPath } = readSettings();
    const url = redis ?? (broker === "redis" ? redisUrl : undefined);
    const { workers } = this.#size;
    if (url !== undefined) return RedisHost.open({ url }, options, workers);
    const executable = findRedisServer(searchPath);
    if (executable !== undefined) return RedisHost.open({ executable }, options, workers);
    if (broker === "auto") return new MemoryHost(options);
    throw new RedisServerError(
      'Expected a redis-server or valkey-server on the PATH for a local cluster with broker "redis", got none. ' +
        'Install one, name a running server in MILLRACE_REDIS_URL, or use broker "memory".',
    );
  }

  async #scaleTo(count: number): Promise<void> {
    this.#assertOpen();
    const host = this.#host!;
    const missing = Math.max(0, count - this.#workers.length);
    const added = await Promise.allSettled(Array.from({ length: missing }, () => host.addWorker()));
    for (const result of added) if (result.status === "fulfilled") this.#workers.push(result.value);
    this.#tellWorkers();
    const failed = added.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    await Promise.all(this.#workers.splice(count).map((worker) => worker.stop()));
  }

  async #close(): Promise<void> {
    await this.#started?.catch(() => {});
    await this.#scaling;
    await this.#stopAll();
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.stop()));
    await this.#host?.close();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }

  // ---- Waiting for workers ---------------------------------------------------------------------------------------

  #tellWorkers(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  #nextWorker(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#watchers.add(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function closedError(): WorkerStartError {
  return new WorkerStartError(
    "Expected an open local cluster, got one that is closed. Make a new LocalCluster.",
  );
}
