/** The process in which scale.ts measures one flow: it says how that went, and exits. */
import { availableParallelism } from "node:os";
import {
  ConcurrentTaskRunner,
  DistributedTaskRunner,
  flow,
  LocalCluster,
  type TaskFuture,
  type TaskRunner,
} from "millrace";
import { elapsedMs } from "./measure.ts";
import type { ScaleRun, ScaleWay } from "./scale.ts";
import { noop } from "./tasks.js";

/** Compiles the code before anything is measured, or a thousand tasks would seem to cost ten times as much each. */
const WARM_UP_TASKS = 20_000;

const { system, way, tasks, redis } = JSON.parse(process.argv[2] as string) as ScaleRun;

/** Keeps what a flow has made, as a program does that goes on with it. */
const kept: unknown[] = [];

const ways: Record<ScaleWay, (count: number) => Promise<void>> = {
  async map(count) {
    const futures = noop.map(Array.from({ length: count }, (_, n) => n));
    kept[0] = futures;
    await futures.results();
  },
  async submit(count) {
    const futures: TaskFuture<number>[] = [];
    for (let n = 0; n < count; n++) futures.push(noop.submit(n));
    kept[0] = futures;
    for (const future of futures) await future;
  },
  async dropped(count) {
    for (let n = 0; n < count; n++) noop.submit(n);
  },
  async stream(count) {
    for await (const _ of noop.map(numbers(count)));
  },
};

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) yield n;
}

async function measure(taskRunner: TaskRunner): Promise<void> {
  const run = flow({ name: "scale", taskRunner }, ways[way]);
  await run(WARM_UP_TASKS);
  const elapsed = await elapsedMs(() => run(tasks));
  globalThis.gc?.();
  process.send?.({
    ...{ system, way, tasks },
    tasksPerSecond: (tasks / elapsed) * 1000,
    microsPerTask: (elapsed * 1000) / tasks,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    heapAfterMb: process.memoryUsage().heapUsed / 2 ** 20,
  });
}

if (system === "concurrent") await measure(new ConcurrentTaskRunner());
else {
  const broker = system;
  const threads = availableParallelism();
  await using cluster = new LocalCluster({
    broker,
    workers: 1,
    threads,
    ...(redis !== undefined && { redis }),
  });
  await measure(new DistributedTaskRunner({ cluster }));
}
