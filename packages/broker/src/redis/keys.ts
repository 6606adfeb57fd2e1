import { createHash } from "node:crypto";
import { InvalidOptionError } from "@millrace/core";

/**
 * Every key that Millrace uses in Redis. The braces put all keys of a namespace into one slot of a Redis Cluster.
 * BullMQ's own keys are `{millrace:<namespace>}:<queue>:…`. Of these `meta`, `id`, `events` and `marker`, some hundred
 * bytes per queue, stay when nobody uses it: they are the queue. Everything else goes with whom it belongs to.
 */
export interface Keys {
  readonly namespace: string;
  /** The prefix that BullMQ gets. */
  readonly prefix: string;
  /** SET of the ids of workers that serve a queue; those whose `worker` key is gone are dead. */
  workers(queue: string): string;
  /** STRING, with a time to live that heartbeats renew: JSON of WorkerInfo. */
  worker(workerId: string): string;
  /** STRING, with a time to live: why the worker died, as a sentence. */
  death(workerId: string): string;
  /** STRING, with a time to live that the runner renews: JSON of RunnerRecord. */
  runner(runnerId: string): string;
  /** PUB/SUB channel of a queue: a worker came, left, or was found dead. */
  workerNews(queue: string): string;
  /** STRING, with a time to live that the runner renews: its calls may run. */
  runnerLease(runnerId: string): string;
  /** STREAM, with a time to live that the runner renews: reports for one runner. */
  replies(runnerId: string): string;
  /** HASH, with a time to live that the runner renews: the large values of one runner's calls, by id. */
  values(runnerId: string): string;
  /** STREAM, with a time to live that the worker renews: messages of runners to one worker. */
  inbox(workerId: string): string;
  /** STRING, with a time to live when it expires: a kept result. The key is hashed, since users may put anything in it. */
  result(key: string): string;
  /** STRING, with a time to live that the holder renews: who computes the result. */
  resultClaim(key: string): string;
  /** HASH: the limits that are set, by name; each as JSON of a Limit. Stays until they are removed. */
  readonly limits: string;
  /** What the names of the keys of one limit begin with: see limit-scripts.ts. */
  readonly limitState: string;
  /** PUB/SUB channel: slots came back, or a limit was changed. */
  readonly limitNews: string;
  /** HASH of BullMQ: what holds for the queue, such as the version that made it. */
  meta(queue: string): string;
  /** LIST of BullMQ: the ids of the jobs that no worker has taken. */
  waiting(queue: string): string;
  /** LIST of BullMQ: the ids of the jobs that workers have. */
  active(queue: string): string;
  /** STRING of BullMQ: who holds the lease on a job. */
  lease(queue: string, jobId: string): string;
  /** HASH of BullMQ: the job. */
  job(queue: string, jobId: string): string;
}

/** @throws InvalidOptionError when the namespace could not be part of a key */
export function keysOf(namespace: string): Keys {
  if (!/^[\w.@/-]+$/.test(namespace)) {
    throw new InvalidOptionError("namespace", "letters, digits and . _ @ / - only", namespace);
  }
  const prefix = `{millrace:${namespace}}`;
  return {
    namespace,
    prefix,
    workers: (queue) => `${prefix}:workers:${queue}`,
    worker: (workerId) => `${prefix}:worker:${workerId}`,
    death: (workerId) => `${prefix}:death:${workerId}`,
    runner: (runnerId) => `${prefix}:runner:${runnerId}`,
    workerNews: (queue) => `${prefix}:worker-news:${queue}`,
    runnerLease: (runnerId) => `${prefix}:runner-lease:${runnerId}`,
    replies: (runnerId) => `${prefix}:replies:${runnerId}`,
    values: (runnerId) => `${prefix}:values:${runnerId}`,
    inbox: (workerId) => `${prefix}:inbox:${workerId}`,
    result: (key) => `${prefix}:result:${hashOf(key)}`,
    resultClaim: (key) => `${prefix}:result-claim:${hashOf(key)}`,
    limits: `${prefix}:limits`,
    limitState: `${prefix}:limit`,
    limitNews: `${prefix}:limit-news`,
    meta: (queue) => `${prefix}:${queue}:meta`,
    waiting: (queue) => `${prefix}:${queue}:wait`,
    active: (queue) => `${prefix}:${queue}:active`,
    lease: (queue, jobId) => `${prefix}:${queue}:${jobId}:lock`,
    job: (queue, jobId) => `${prefix}:${queue}:${jobId}`,
  };
}

function hashOf(key: string): string {
  // UTF-8 would write every half of a surrogate pair alike, and give one key's result to the other.
  return createHash("sha256").update(key, "utf16le").digest("hex");
}
