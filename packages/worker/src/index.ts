/** What executes calls: executors, the worker, its process and the nanny of that. */
export { type AmbientCluster, ambientCluster, ambientSession } from "./ambient.ts";
export { DEFAULT_CALLS_PER_THREAD, type Executor } from "./executor.ts";
export { InlineExecutor } from "./inline-executor.ts";
export { forkWorkerProcess, Nanny, type NannyOptions } from "./nanny.ts";
export { ThreadExecutor, type ThreadExecutorOptions } from "./thread-executor.ts";
export { tsxOf } from "./typescript-loader.ts";
export { Worker, type WorkerOptions } from "./worker.ts";
export { startWorkerProcess, type WorkerProcess, type WorkerProcessOptions } from "./worker-process.ts";
