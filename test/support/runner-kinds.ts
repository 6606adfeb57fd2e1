import {
  ConcurrentTaskRunner,
  DistributedTaskRunner,
  LocalCluster,
  SequentialTaskRunner,
  type TaskRunner,
} from "millrace";
import { inject } from "vitest";
import { uniqueNamespace } from "./namespace.ts";
import { startWorker, terminate } from "./processes.ts";
import { forgetNamespace } from "./redis-keys.ts";

/** One of the ways to run the same flow. */
export interface RunnerKind {
  readonly name: string;
  /** Do calls run outside of the thread of the flow? */
  readonly isDistributed: boolean;
  /** Starts what the runner needs, once for all tests of a file. */
  start(): Promise<StartedRunner>;
}

export interface StartedRunner {
  readonly taskRunner: TaskRunner;
  close(): Promise<void>;
}

const nothing = async () => {};

export function onCluster(name: string, makeCluster: () => LocalCluster): RunnerKind {
  return {
    name,
    isDistributed: true,
    start: async () => {
      const cluster = await makeCluster().start();
      return { taskRunner: new DistributedTaskRunner({ cluster }), close: () => cluster.close() };
    },
  };
}

/** @param workers the flags of each worker */
export function onStandingCluster(name: string, ...workers: readonly string[][]): RunnerKind {
  return {
    name,
    isDistributed: true,
    start: async () => {
      const namespace = uniqueNamespace();
      const programs = await Promise.all(workers.map((flags) => startWorker(namespace, ...flags)));
      return {
        taskRunner: new DistributedTaskRunner({ redis: inject("redisUrl"), namespace }),
        close: async () => {
          await Promise.all(programs.map(terminate));
          await forgetNamespace(namespace);
        },
      };
    },
  };
}

export const RUNNER_KINDS: readonly RunnerKind[] = [
  {
    name: "concurrent",
    isDistributed: false,
    start: async () => ({ taskRunner: new ConcurrentTaskRunner(), close: nothing }),
  },
  {
    name: "sequential",
    isDistributed: false,
    start: async () => ({ taskRunner: new SequentialTaskRunner(), close: nothing }),
  },
  onCluster("distributed, embedded", () => new LocalCluster({ broker: "memory", threads: 2 })),
  onCluster(
    "distributed, local Redis cluster",
    () => new LocalCluster({ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 1 }),
  ),
  onStandingCluster("distributed, standing cluster", ["--threads", "2"]),
];
