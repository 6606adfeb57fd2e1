/**
 * Flows and tasks of Millrace, and the runners that need nothing but this process.
 *
 * - flow, task: the definition, a function with a name and options
 * - flow run, task run: one execution of it, with an id and a state
 * - attempt: one try of the user's function inside a task run
 * - call: what a runner is given to execute once
 * - future: the handle of a task run
 * - task runner: decides where calls are executed
 */
export { AllowFailure, allowFailure, Quote, quote } from "./definitions/annotations.ts";
export { type Flow, flow } from "./definitions/flow.ts";
export type { FlowCallOptions, FlowOptions } from "./definitions/flow-options.ts";
export type { FlowRunInfo, Hook, TaskRunInfo } from "./definitions/hooks.ts";
export { Unmapped, unmapped } from "./definitions/map.ts";
export { type Task, task } from "./definitions/task.ts";
export type { CacheKeyFn, RetryCondition } from "./definitions/task-definition.ts";
export type { TaskCallOptions, TaskOptions } from "./definitions/task-options.ts";
export type { ArgumentsOrFutures, OrFuture, Resolved } from "./definitions/types.ts";
export { getRunContext, type RunContext, tags } from "./engine/context.ts";
export { FlowRun } from "./engine/flow-run.ts";
export type { OpenRun } from "./engine/open-runs.ts";
export {
  type FlowRunStateEvent,
  observeRuns,
  type RunEventMap,
  type RunObserver,
  type StateSummary,
  type TaskRunStateEvent,
} from "./engine/run-events.ts";
export type { SessionServices } from "./engine/run-services.ts";
export type { CallPlace, CallSurvey, NestedRun, Step, WhyOpen } from "./engine/why-open.ts";
export * from "./errors/errors.ts";
export { type LoopFuture, TaskFuture, TaskFutureList } from "./futures/future.ts";
export { TaskFutureStream } from "./futures/future-stream.ts";
export {
  Cancelled,
  Completed,
  Crashed,
  Failed,
  State,
  type StateInit,
  type StateType,
} from "./futures/state.ts";
export { asCompleted, type WaitOptions, type WaitResult, wait } from "./futures/waiting.ts";
export { type ConcurrencyOptions, concurrency, rateLimit } from "./limits/concurrency.ts";
export { isLimit, type Limit, type Limiter, type SlotRequest, type Slots } from "./limits/limiter.ts";
export { getRunLogger, type LogDestination, type Logger, logTo, setLogLevel } from "./logger.ts";
export { FileResultStore, type FileResultStoreOptions } from "./results/file-result-store.ts";
export { MemoryResultStore } from "./results/memory-result-store.ts";
export type { Claim, ResultStore, StoredResult } from "./results/result-store.ts";
export { type StoredResultOptions, storedResult } from "./results/stored-result.ts";
export { taskInputHash } from "./results/task-input-hash.ts";
export { ConcurrentTaskRunner, type ConcurrentTaskRunnerOptions } from "./runners/concurrent-task-runner.ts";
export { SequentialTaskRunner } from "./runners/sequential-task-runner.ts";
export type {
  Call,
  Outcome,
  RunnerSession,
  SessionOwner,
  TaskRunner,
  UpstreamRun,
} from "./runners/task-runner.ts";
export { LOG_LEVELS, type LogLevel, readSettings, type Settings } from "./settings.ts";
export { registerError, registerType } from "./values/registered-types.ts";
