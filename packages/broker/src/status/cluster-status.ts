import { HEARTBEAT_TTL_MS } from "../intervals.ts";
import { queueTypes } from "../redis/bullmq.ts";
import type { Keys } from "../redis/keys.ts";
import type { Redis } from "../redis/redis-connection.ts";
import { parseRunner, type RunnerRecord } from "../redis/runner-registry.ts";
import { literally, scanKeys } from "../redis/scan.ts";
import { plainQueue, queueOf, type Seal } from "../redis/seal.ts";
import { type WorkerRecord, WorkerRegistry } from "../redis/worker-registry.ts";
import { findWrongType, readText } from "../redis/wrong-type.ts";

/** Who uses a namespace at this moment. */
export interface ClusterStatus {
  readonly namespace: string;
  readonly workers: readonly WorkerStatus[];
  readonly queues: readonly QueueStatus[];
  readonly runners: readonly RunnerStatus[];
  /** What is wrong, each as a sentence that says what to do. */
  readonly problems: readonly string[];
}

export interface WorkerStatus extends WorkerRecord {
  readonly queue: string;
  /** How long ago its last heartbeat came, in milliseconds. */
  readonly heartbeatAgeMs: number;
  readonly batches: number;
}

export interface QueueStatus {
  readonly queue: string;
  /** Batches that no worker has taken. */
  readonly waiting: number;
  /** Batches that workers have. */
  readonly active: number;
  readonly workers: number;
}

export interface RunnerStatus extends RunnerRecord {
  /** Batches of it that are in the queue or with workers. */
  readonly batches: number;
}

/** What a look at one queue gives. */
export interface QueueLook {
  readonly queue: string;
  readonly live: readonly WorkerStatus[];
  /** The ids of workers whose heartbeat has ended. */
  readonly silent: readonly string[];
  /** How many workers have another secret than who looks: of them, and of what waits for them, nothing is seen. */
  readonly strangers: number;
  readonly waiting: readonly string[];
  readonly active: readonly { readonly batchId: string; readonly holder: string | null }[];
  /** Why it cannot be looked at: something else is in the place of one of its keys. */
  readonly broken?: string;
}

/** Changes nothing in Redis. @throws what Redis answers */
export async function readStatus(redis: Redis, keys: Keys, seal: Seal): Promise<ClusterStatus> {
  const prefix = literally(keys.prefix);
  const [sets, metas, runnerKeys] = await Promise.all([
    scanKeys(redis, `${prefix}:workers:*`),
    scanKeys(redis, `${prefix}:*:meta`), // BullMQ's: there is one of each queue that was ever used.
    scanKeys(redis, `${prefix}:runner:*`),
  ]);
  const names = new Set([
    ...sets.map((key) => key.slice(keys.workers("").length)),
    ...metas.map((key) => plainQueue(key.slice(keys.prefix.length + 1, -":meta".length), seal)),
  ]);
  const looks = await Promise.all([...names].sort().map((queue) => lookAt(redis, keys, queue, seal)));
  const records = await Promise.all(runnerKeys.map(async (key) => parseRunner(await readText(redis, key))));
  return statusOf(
    keys.namespace,
    looks,
    records.filter((record) => record !== undefined),
  );
}

async function lookAt(redis: Redis, keys: Keys, queue: string, seal: Seal): Promise<QueueLook> {
  const types = { ...queueTypes(keys, queueOf(queue, seal)), [keys.workers(queue)]: "set" } as const;
  const broken = await findWrongType(redis, types);
  if (broken === undefined) return lookAtWhole(redis, keys, queue, seal);
  return { queue, live: [], silent: [], strangers: 0, waiting: [], active: [], broken: broken.message };
}

async function lookAtWhole(redis: Redis, keys: Keys, queue: string, seal: Seal): Promise<QueueLook> {
  const registry = new WorkerRegistry(redis, keys, queue, seal);
  const [{ live, silent }, waiting, active] = await Promise.all([
    registry.look(),
    redis.lrange(keys.waiting(queueOf(queue, seal)), 0, -1),
    redis.lrange(keys.active(queueOf(queue, seal)), 0, -1),
  ]);
  const [ages, holders] = await Promise.all([
    Promise.all(live.map(({ workerId }) => redis.pttl(keys.worker(workerId)))),
    Promise.all(active.map((batchId) => readText(redis, keys.lease(queueOf(queue, seal), batchId)))),
  ]);
  return {
    queue,
    live: live.map((worker, index) => ({
      ...worker,
      queue,
      heartbeatAgeMs: Math.max(0, HEARTBEAT_TTL_MS - (ages[index] as number)),
      batches: holders.filter((holder) => holder === worker.workerId).length,
    })),
    silent,
    strangers: registry.strangers,
    waiting,
    active: active.map((batchId, index) => ({ batchId, holder: holders[index] ?? null })),
  };
}

/** Puts the looks together, and says what is wrong. */
export function statusOf(
  namespace: string,
  looks: readonly QueueLook[],
  runners: readonly RunnerRecord[],
): ClusterStatus {
  const inQueues = looks.flatMap(({ waiting, active }) => [
    ...waiting,
    ...active.map(({ batchId }) => batchId),
  ]);
  const withBatches = runners.map((runner) => ({
    ...runner,
    batches: inQueues.filter((batchId) => batchId.startsWith(`${runner.runnerId}.`)).length,
  }));
  return {
    namespace,
    workers: looks.flatMap(({ live }) => live),
    queues: looks.map(({ queue, waiting, active, live }) => ({
      queue,
      waiting: waiting.length,
      active: active.length,
      workers: live.length,
    })),
    runners: withBatches,
    problems: [
      ...looks.flatMap((look) => problemsOf(look, namespace)),
      ...stalledRunners(looks, withBatches, namespace),
    ],
  };
}

function problemsOf(look: QueueLook, namespace: string): string[] {
  const { queue, live, silent, strangers, waiting, active, broken } = look;
  if (broken !== undefined) return [`Nothing is seen of queue "${queue}". ${broken}`];
  const problems: string[] = [];
  if (strangers > 0)
    problems.push(
      `${counted(strangers, "worker", "workers")} of queue "${queue}" with another secret than this command, or one of both has none: ` +
        `nothing is seen of what they do. Set MILLRACE_SECRET to theirs.`,
    );
  if (waiting.length > 0 && live.length === 0)
    problems.push(
      `${counted(waiting.length, "batch", "batches")} in queue "${queue}", and no worker. ${advice(queue, namespace)}`,
    );
  for (const workerId of silent)
    problems.push(
      `Worker ${workerId} of queue "${queue}" has had no heartbeat for 5 s or more: it died or is cut off. Its calls are sent again.`,
    );
  const known = new Set(live.map(({ workerId }) => workerId));
  for (const { batchId, holder } of active) {
    if (holder === null)
      problems.push(
        `Batch ${batchId} in queue "${queue}" is taken, and nobody has the lease on it: its flow sends it again within seconds, if that is still there.`,
      );
    else if (!known.has(holder))
      problems.push(
        `Batch ${batchId} in queue "${queue}" is held by worker ${holder}, which is gone: its flow sends it again within seconds, if that is still there.`,
      );
  }
  return problems;
}

/** While there is no worker, calls stay in the flow's process, and are in no queue. */
function stalledRunners(
  looks: readonly QueueLook[],
  runners: readonly RunnerStatus[],
  namespace: string,
): string[] {
  const isServed = ({ live, strangers, broken }: QueueLook) =>
    live.length + strangers > 0 || broken !== undefined;
  const served = new Set(looks.filter(isServed).map(({ queue }) => queue));
  return runners
    .filter(({ queue, calls, batches }) => calls + batches > 0 && !served.has(queue))
    .map(
      ({ queue, flowName, flowRunId, host, pid }) =>
        `Flow "${flowName}" (run ${flowRunId}, ${host}, process ${pid}) has calls for queue "${queue}", which no worker ` +
        `serves. ${advice(queue, namespace)}`,
    );
}

function advice(queue: string, namespace: string): string {
  return `Start one with \`millrace worker --namespace ${namespace} --queue ${queue}\`.`;
}

function counted(count: number, one: string, many: string): string {
  return count === 1 ? `1 ${one}` : `${count} ${many}`;
}
