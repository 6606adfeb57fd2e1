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
export { AllowFailure, allowFailure, Quote, quote } from "./annotations.ts";
export { type ConcurrencyOptions, concurrency, rateLimit } from "./concurrency.ts";
export { ConcurrentTaskRunner, type ConcurrentTaskRunnerOptions } from "./concurrent-task-runner.ts";
export { getRunContext, type RunContext, tags } from "./context.ts";
export * from "./errors.ts";
export { FileResultStore, type FileResultStoreOptions } from "./file-result-store.ts";
export { type Flow, flow } from "./flow.ts";
export type { FlowCallOptions, FlowOptions } from "./flow-options.ts";
export { FlowRun } from "./flow-run.ts";
export { type LoopFuture, TaskFuture, TaskFutureList } from "./future.ts";
export { TaskFutureStream } from "./future-stream.ts";
export type { FlowRunInfo, Hook, TaskRunInfo } from "./hooks.ts";
export { isLimit, type Limit, type Limiter, type SlotRequest, type Slots } from "./limiter.ts";
export { getRunLogger, type LogDestination, type Logger, logTo, setLogLevel } from "./logger.ts";
export { Unmapped, unmapped } from "./map.ts";
export { MemoryResultStore } from "./memory-result-store.ts";
export type { OpenRun } from "./open-runs.ts";
export { registerError, registerType } from "./registered-types.ts";
export type { Claim, ResultStore, StoredResult } from "./result-store.ts";
export {
  type FlowRunStateEvent,
  observeRuns,
  type RunEventMap,
  type RunObserver,
  type StateSummary,
  type TaskRunStateEvent,
} from "./run-events.ts";
export type { SessionServices } from "./run-services.ts";
export { SequentialTaskRunner } from "./sequential-task-runner.ts";
export { LOG_LEVELS, type LogLevel, readSettings, type Settings } from "./settings.ts";
export { Cancelled, Completed, Crashed, Failed, State, type StateInit, type StateType } from "./state.ts";
export { type StoredResultOptions, storedResult } from "./stored-result.ts";
export { type Task, task } from "./task.ts";
export type { CacheKeyFn, RetryCondition } from "./task-definition.ts";
export { taskInputHash } from "./task-input-hash.ts";
export type { TaskCallOptions, TaskOptions } from "./task-options.ts";
export type { Call, Outcome, RunnerSession, SessionOwner, TaskRunner, UpstreamRun } from "./task-runner.ts";
export type { ArgumentsOrFutures, OrFuture, Resolved } from "./types.ts";
export { asCompleted, type WaitOptions, type WaitResult, wait } from "./waiting.ts";
export type { CallPlace, CallSurvey, NestedRun, Step, WhyOpen } from "./why-open.ts";
