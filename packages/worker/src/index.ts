/** What executes calls: executors, the worker, its process and the nanny of that. */

export { DEFAULT_CALLS_PER_THREAD, type Executor } from "./executor.ts";
export { InlineExecutor } from "./executors/inline-executor.ts";
export { ThreadExecutor, type ThreadExecutorOptions } from "./executors/thread-executor.ts";
export { type AmbientCluster, ambientCluster, ambientSession } from "./in-thread/ambient.ts";
export { tsxOf } from "./in-thread/typescript-loader.ts";
export { forkWorkerProcess, Nanny, type NannyOptions } from "./process/nanny.ts";
export { Worker, type WorkerOptions } from "./process/worker.ts";
export {
  startWorkerProcess,
  type WorkerProcess,
  type WorkerProcessOptions,
} from "./process/worker-process.ts";
