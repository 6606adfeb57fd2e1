import { MillraceError } from "./millrace-error.ts";

/** Errors of Redis, and of the workers behind it. */

/** Redis does not answer. `url` is shown without its password. */
export class BrokerUnavailableError extends MillraceError {
  readonly code = "ERR_BROKER_UNAVAILABLE";
  constructor(address: string, reason: string, options?: ErrorOptions) {
    super(
      `Expected a Redis server that answers at ${address}, got ${reason}. Start it, or mend the URL in ` +
        `MILLRACE_REDIS_URL or in the \`redis\` option.`,
      options,
    );
  }
}

/** The Redis server answers, but Millrace cannot rely on it: too old, allowed to drop keys, or others write where it does. */
export class RedisUnsuitableError extends MillraceError {
  readonly code = "ERR_REDIS_UNSUITABLE";
}

/** A message in Redis is not signed with this process's secret; or it is signed, and this process has no secret. */
export class SignatureError extends MillraceError {
  readonly code = "ERR_SIGNATURE";
  constructor(key: string, got: "unsigned" | "wrongly-signed" | "signed") {
    const [expected, what] = {
      unsigned: ["signed with the secret of this process", "one that is not signed"],
      "wrongly-signed": [
        "signed with the secret of this process",
        "one that was signed with another, or for another place",
      ],
      signed: ["without a signature, since this process has no secret", "one that is signed"],
    }[got];
    super(
      `Expected a message ${expected}, got ${what}, at ${key}. Give flows and workers the same secret, in ` +
        `MILLRACE_SECRET; if they have it, somebody else writes to this Redis.`,
    );
  }
}

/** No `redis-server` or `valkey-server` could be started. */
export class RedisServerError extends MillraceError {
  readonly code = "ERR_REDIS_SERVER";
}

/** Calls wait, and no worker has served their queue for the set time. */
export class NoWorkersError extends MillraceError {
  readonly code = "ERR_NO_WORKERS";
  constructor({ queue, seconds, calls, command, elsewhere = [], strangers = 0 }: NoWorkersFacts) {
    const others = elsewhere
      .slice(0, MOST_QUEUES)
      .map((live) => `queue "${live.queue}" of namespace "${live.namespace}" (${live.workers})`);
    if (elsewhere.length > MOST_QUEUES) others.push(`${elsewhere.length - MOST_QUEUES} more queues`);
    const living =
      command === undefined
        ? ""
        : others.length > 0
          ? ` Workers serve ${others.join(", ")}.`
          : " No other queue has workers.";
    const start = command === undefined ? "Start one" : `Start one with \`${command}\` in the project's root`;
    const secret =
      strangers === 0
        ? ""
        : ` Of ${strangers} ${strangers === 1 ? "worker" : "workers"} there the secret is another, or one of both has none: give flows and ` +
          "workers the same, as MILLRACE_SECRET or the option `secret` here, as MILLRACE_SECRET or --secret-file there.";
    super(
      `Expected a worker for queue "${queue}" within ${seconds} s, got none; ${calls} ${calls === 1 ? "call waits" : "calls wait"} there.${secret}${living} ` +
        `${start}, or raise \`noWorkersTimeoutSeconds\`.`,
    );
  }
}

export interface NoWorkersFacts {
  readonly queue: string;
  readonly seconds: number;
  /** How many calls wait. */
  readonly calls: number;
  /** Workers of the queue that have another secret than the flow. Default: none. */
  readonly strangers?: number;
  /** What starts a worker; undefined where that is not for a command to do. */
  readonly command?: string;
  /** Queues that workers serve: one of them may be meant. */
  readonly elsewhere?: readonly {
    readonly namespace: string;
    readonly queue: string;
    readonly workers: number;
  }[];
}

/** So many queues are named: enough to see a typing mistake. */
const MOST_QUEUES = 5;

/** A worker process or thread did not become ready, or ended before it did. */
export class WorkerStartError extends MillraceError {
  readonly code = "ERR_WORKER_START";
}

/** A call was in a thread or a process that died, as often as `crashRetries` allows. */
export class WorkerLostError extends MillraceError {
  readonly code = "ERR_WORKER_LOST";
}
