import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Broker, DEFAULT_QUEUE } from "@millrace/broker";
import {
  type Call,
  type CallSurvey,
  InvalidOptionError,
  type Limiter,
  type ResultStore,
  type RunnerSession,
  readSettings,
  type SessionOwner,
  type SessionServices,
  type TaskRunner,
  type UpstreamRun,
} from "@millrace/core";
import {
  asSecret,
  currentProjectRoot,
  type DistantValue,
  rules,
  type TaskDefinition,
} from "@millrace/core/internal";
import { ambientCluster, ambientSession } from "@millrace/worker";
import { Lanes } from "./lanes.ts";
import { LocalCluster, type LocalClusterOptions } from "./local-cluster.ts";
import { acquireSharedCluster } from "./shared-clusters.ts";

export interface DistributedTaskRunnerOptions {
  /**
   * A local cluster: its options, for a temporary one that is closed when the flow run ends; or a LocalCluster of yours, or a
   * function that gives one, which the runner starts when it is not started, and never closes.
   */
  readonly cluster?: LocalClusterOptions | LocalCluster | (() => LocalCluster | Promise<LocalCluster>);
  /** URL of the Redis of a standing cluster. Default: `MILLRACE_REDIS_URL`, when it is set. Not together with `cluster`. */
  readonly redis?: string;
  /**
   * What messages in the Redis of a standing cluster are signed with, at least 16 characters: its workers must have the same, and
   * each side refuses what is not signed with it. Default: `MILLRACE_SECRET`; when that is unset, nothing is signed.
   */
  readonly secret?: string;
  /** Which workers of the standing cluster: those that serve this queue. Default: `default`. */
  readonly queue?: string;
  /** Separates projects on one Redis. Default: the project's name in package.json. */
  readonly namespace?: string;
  /** How long calls may wait while no worker serves their queue, before they end CRASHED. Default: 60. */
  readonly noWorkersTimeoutSeconds?: number;
  /** How long what waits for a Redis that is away may wait, before it ends CRASHED. Default: 60. */
  readonly redisTimeoutSeconds?: number;
  /**
   * Calls travel in batches; how many are in one follows from what is learned of each task's duration, so that each thread of
   * the worker gets about so much work. Less is spread more evenly, more costs less on the way. Default: 4.
   */
  readonly batchMilliseconds?: number;
}

const optionRules: rules.OptionRules<DistributedTaskRunnerOptions> = {
  cluster: {
    expected: "a LocalCluster, a function that gives one, or the options of one",
    accepts: (value) => typeof value === "function" || (typeof value === "object" && value !== null),
  },
  redis: rules.text,
  secret: { expected: "a text", accepts: () => true }, // Checked by asSecret, which does not show it.
  queue: rules.text,
  namespace: rules.text,
  noWorkersTimeoutSeconds: rules.finiteNumber(0),
  redisTimeoutSeconds: rules.finiteNumber(0),
  batchMilliseconds: rules.finiteNumber(0.1),
};

const DEFAULT_NO_WORKERS_TIMEOUT_SECONDS = 60;

/**
 * Runs calls in the threads of workers: on every core of this machine, or on a standing cluster behind a Redis. The
 * same flow runs on either, unchanged: with `MILLRACE_REDIS_URL` set, `new DistributedTaskRunner()` means the cluster
 * there, else a temporary local one. In a flow that a task in a worker calls, it means the cluster of that worker: no
 * cluster starts inside another, and the task's place is free while it waits.
 */
export class DistributedTaskRunner implements TaskRunner {
  readonly name = "distributed";
  readonly #options: DistributedTaskRunnerOptions;

  /** @throws UnknownOptionError, InvalidOptionError */
  constructor(options: DistributedTaskRunnerOptions = {}) {
    rules.checkOptions("new DistributedTaskRunner()", options, optionRules);
    if (options.cluster !== undefined && options.redis !== undefined) {
      throw new InvalidOptionError(
        "redis of new DistributedTaskRunner()",
        "left out when `cluster` is given",
        options.redis,
      );
    }
    const { cluster, secret } = options;
    if (secret !== undefined) asSecret("secret of new DistributedTaskRunner()", secret);
    // Wrong options are found where they are written, not when a flow runs.
    if (typeof cluster === "object" && !(cluster instanceof LocalCluster)) new LocalCluster(cluster);
    this.#options = options;
  }

  async open(owner: SessionOwner): Promise<RunnerSession> {
    const ambient = this.#isElsewhere() ? undefined : ambientSession();
    if (ambient !== undefined) return ambient;
    const { broker, brokerOf, leave, services } = await this.#reachCluster();
    try {
      const { queue = DEFAULT_QUEUE, noWorkersTimeoutSeconds = DEFAULT_NO_WORKERS_TIMEOUT_SECONDS } =
        this.#options;
      const { batchMilliseconds: batchMs } = this.#options;
      const lanes = new Lanes({
        broker,
        queue,
        noWorkersTimeoutSeconds,
        batchMs,
        owner,
        ...(brokerOf !== undefined && { brokerOf }),
      });
      await lanes.open();
      return new DistributedSession(lanes, leave, services);
    } catch (error) {
      await leave();
      throw error;
    }
  }

  /** Does it name a Redis cluster that, inside a worker, is not the worker's own? */
  #isElsewhere(): boolean {
    const { redis, queue = DEFAULT_QUEUE, namespace = projectName() } = this.#options;
    if (redis === undefined) return false;
    const own = ambientCluster();
    return own?.redisUrl !== redis || own.namespace !== namespace || own.queue !== queue;
  }

  async #reachCluster(): Promise<ReachedCluster> {
    const { cluster } = this.#options;
    if (cluster instanceof LocalCluster || typeof cluster === "function") {
      const theirs = typeof cluster === "function" ? await cluster() : cluster;
      return { broker: await theirs.broker(), leave: async () => {} };
    }
    const redisUrl = this.#options.redis ?? (cluster === undefined ? readSettings().redisUrl : undefined);
    return redisUrl === undefined ? reachTemporary(cluster ?? {}) : this.#reachStanding(redisUrl);
  }

  async #reachStanding(redisUrl: string): Promise<ReachedCluster> {
    const { BullMqBroker } = await import("@millrace/broker/bullmq");
    const {
      queue = DEFAULT_QUEUE,
      namespace = projectName(),
      secret = readSettings().secret,
      redisTimeoutSeconds: patienceSeconds,
    } = this.#options;
    const broker = await BullMqBroker.connect({ redisUrl, namespace, queue, secret, patienceSeconds });
    try {
      const limiter = await broker.openLimiter();
      const leave = () => limiter.close().then(() => broker.close());
      const brokerOf = (queue: string) => broker.onQueue(queue);
      return { broker, brokerOf, services: { limiter, resultStore: broker.resultStore() }, leave };
    } catch (error) {
      await broker.close();
      throw error;
    }
  }
}

interface ReachedCluster {
  readonly broker: Broker;
  /** Gives the way to the workers of another queue. Left out: the workers there are serve all queues. */
  readonly brokerOf?: (queue: string) => Broker;
  /** What a standing cluster shares with whoever else uses it. */
  readonly services?: SessionServices;
  leave(): Promise<void>;
}

async function reachTemporary(options: LocalClusterOptions): Promise<ReachedCluster> {
  const shared = acquireSharedCluster(options);
  try {
    return { broker: await shared.cluster.broker(), leave: async () => shared.release() };
  } catch (error) {
    shared.release();
    throw error;
  }
}

class DistributedSession implements RunnerSession {
  readonly #lanes: Lanes;
  readonly #leave: () => Promise<void>;
  readonly limiter?: Limiter;
  readonly resultStore?: ResultStore;
  #closed: Promise<void> | undefined;

  constructor(lanes: Lanes, leave: () => Promise<void>, services: SessionServices = {}) {
    this.#lanes = lanes;
    this.#leave = leave;
    Object.assign(this, services);
  }

  submit(call: Call): void {
    this.#lanes.submit(call);
  }

  foresee(call: Call, upstream: readonly UpstreamRun[]): void {
    this.#lanes.foresee(call, upstream);
  }

  forwards(value: DistantValue): boolean {
    return this.#lanes.forwards(value);
  }

  cancel(call: Call): boolean {
    return this.#lanes.cancel(call);
  }

  windowFor(task: TaskDefinition): number {
    return this.#lanes.windowFor(task);
  }

  survey(): Promise<CallSurvey> {
    return this.#lanes.survey();
  }

  close(): Promise<void> {
    this.#closed ??= this.#lanes.close().then(() => this.#leave());
    return this.#closed;
  }
}

/** The name of the project at this root: what runners and workers of one project agree on without being told. */
export function projectName(root: string = currentProjectRoot()): string {
  try {
    const { name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { name?: unknown };
    if (typeof name === "string" && name !== "") return name;
  } catch {
    // No package.json: the directory's name will do.
  }
  return basename(root) || "default";
}
