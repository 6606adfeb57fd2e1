import { availableParallelism } from "node:os";
import { ConcurrentTaskRunner, DistributedTaskRunner, flow, LocalCluster, type TaskRunner } from "millrace";
import { elapsedMs, type Figure, median, medianOf } from "./measure.ts";
import { noop, spin } from "./tasks.js";

const ROUNDS = 5;
const cores = availableParallelism();

/** What the engine adds to a task that runs in its own process: submit, execute, settle, wait. */
export async function engineOverhead(): Promise<Figure[]> {
  const tasks = 100_000;
  const value = await inFlow(new ConcurrentTaskRunner(), () => medianOf(ROUNDS, () => noopTasks(tasks)));
  return [
    {
      measure: "engine overhead per task",
      system: "ConcurrentTaskRunner",
      unit: "µs",
      value: (value * 1000) / tasks,
    },
  ];
}

/** The three figures of a distributed runner, on one cluster that is warm. */
export async function distributed(system: string, broker: "memory" | "redis"): Promise<Figure[]> {
  await using cluster = await new LocalCluster({ broker, workers: 1, threads: cores }).start();
  const taskRunner = new DistributedTaskRunner({ cluster });
  const figures: Figure[] = [];
  const record = (measure: string, unit: string, value: number) =>
    figures.push({ measure, system, unit, value });
  await inFlow(taskRunner, async () => {
    const tasks = 100_000;
    record(
      "no-op tasks per second",
      "1/s",
      (tasks / (await medianOf(ROUNDS, () => noopTasks(tasks)))) * 1000,
    );
    record("one task, submit and await, p50", "ms", median(await latencies(1_000)));
    record(
      "efficiency on 2,000 tasks of 1 ms",
      "",
      2_000 / cores / (await medianOf(3, () => spinTasks(2_000))),
    );
  });
  return figures;
}

async function noopTasks(count: number): Promise<number> {
  return elapsedMs(async () => {
    const futures = Array.from({ length: count }, (_, n) => noop.submit(n));
    for (const future of futures) await future.wait();
  });
}

async function spinTasks(count: number): Promise<number> {
  return elapsedMs(() => spin.map(new Array<number>(count).fill(1)).results());
}

async function latencies(count: number): Promise<number[]> {
  const values: number[] = [];
  for (let n = 0; n < count; n++) values.push(await elapsedMs(() => noop(n)));
  return values;
}

function inFlow<R>(taskRunner: TaskRunner, body: () => Promise<R>): Promise<R> {
  return flow({ name: "bench", taskRunner }, body)() as Promise<R>;
}
