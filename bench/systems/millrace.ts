import { availableParallelism } from "node:os";
import { DistributedTaskRunner, flow, LocalCluster, type TaskFuture, type TaskRunner } from "millrace";
import { eachElapsedMs, elapsedMs } from "../measure.ts";
import { type PrivateRedis, startPrivateRedis } from "../private-redis.ts";
import * as tasks from "../tasks.js";
import { graphMs, type System, type SystemEntry } from "./system.ts";

const cores = availableParallelism();

/** A cluster that is warm, and what it runs on. */
export interface OpenCluster extends AsyncDisposable {
  readonly taskRunner: TaskRunner;
  readonly redis: PrivateRedis | undefined;
}

/** Threads of this process, or worker processes behind a Redis of their own. */
export async function openCluster(
  broker: "memory" | "redis",
  { workers = 1, threads = cores }: { workers?: number; threads?: number } = {},
): Promise<OpenCluster> {
  const redis = broker === "redis" ? await startPrivateRedis() : undefined;
  const server = redis === undefined ? {} : { redis: `unix://${redis.socketPath}` };
  const cluster = new LocalCluster({ broker, workers, threads, ...server });
  const close = async () => {
    await cluster.close();
    await redis?.[Symbol.asyncDispose]();
  };
  try {
    await cluster.start();
  } catch (error) {
    await close();
    throw error;
  }
  const taskRunner = new DistributedTaskRunner({ cluster });
  return { taskRunner, redis, [Symbol.asyncDispose]: close };
}

/** Runs the body as a flow: what it submits goes to the runner. */
export function inFlow<R>(taskRunner: TaskRunner, body: () => Promise<R>): Promise<R> {
  return flow({ name: "bench", taskRunner }, body)() as Promise<R>;
}

/** Waits until all runs are final, without their values, which stay where they are; throws when one has failed. */
export async function allCompleted(futures: readonly TaskFuture<unknown>[]): Promise<void> {
  for (const future of futures) {
    if ((await future.wait())!.type !== "COMPLETED") await future.result();
  }
}

/** In a flow: milliseconds of so many tasks that do nothing, all submitted at once. */
export function noopsMs(count: number, noop = tasks.noop): Promise<number> {
  return elapsedMs(() => allCompleted(Array.from({ length: count }, (_, n) => noop.submit(n))));
}

/** In a flow: milliseconds of so many tasks that each compute for one millisecond. */
export function spinsMs(count: number): Promise<number> {
  return elapsedMs(() => allCompleted(tasks.spin.map(new Array<number>(count).fill(1))));
}

export const millraceEmbedded: SystemEntry = {
  name: "Millrace, embedded",
  open: () => open("Millrace, embedded", "memory"),
};

export const millraceRedis: SystemEntry = {
  name: "Millrace, Redis",
  open: () => open("Millrace, Redis", "redis"),
};

async function open(name: System["name"], broker: "memory" | "redis"): Promise<System> {
  const held = await openCluster(broker);
  const run = <R>(body: () => Promise<R>) => inFlow(held.taskRunner, body);
  return {
    name,
    noops: (count) => run(() => noopsMs(count)),
    asyncNoops: (count) => run(() => noopsMs(count, tasks.asyncNoop)),
    latencies: (count) => run(() => eachElapsedMs(count, () => tasks.noop(1))),
    chain: (length) => run(() => elapsedMs(() => chain(length))),
    spins: (count) => run(() => spinsMs(count)),
    peak: async (iterations) => {
      const rates = await run(() => tasks.rate.map(new Array<number>(cores).fill(iterations)).results());
      return rates.reduce((a, b) => a + b, 0);
    },
    graph: (graph, iterations) =>
      run(() =>
        graphMs<TaskFuture<Uint8Array>>(
          graph,
          (step, at, needs, inputs) => tasks.point.submit(step, at, iterations, needs, inputs),
          allCompleted,
        ),
      ),
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}

async function chain(length: number): Promise<void> {
  let last = tasks.increment.submit(0);
  for (let n = 1; n < length; n++) last = tasks.increment.submit(last);
  if ((await last) !== length) throw new Error(`Expected a chain to give ${length}, got ${await last}.`);
}
