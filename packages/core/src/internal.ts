/** What Millrace's other packages use of core, and users should not: it may change in any release. */

export * as rules from "./definitions/options.ts";
export {
  currentProjectRoot,
  entryModule,
  findProjectRoot,
  fromModulePath,
  setProjectRoot,
  toModulePath,
} from "./definitions/project-root.ts";
export { findTask, registrationModule, taskNames, taskRegistered } from "./definitions/registry.ts";
export { TASK_DEFAULTS, type TaskDefinition } from "./definitions/task-definition.ts";
export { callIgnored, enterWorkerMode, inWorkerMode, never } from "./definitions/worker-mode.ts";
export { type AttemptHost, type AttemptInfo, runAttempt } from "./engine/attempt.ts";
export { activeContext, NO_TAGS, runWithoutContext } from "./engine/context.ts";
export { processEvents, type RunEventSink } from "./engine/run-events.ts";
export type { RunScope, ScopeOwner } from "./engine/run-scope.ts";
export { defaultServices, type RunServices } from "./engine/run-services.ts";
export type { RunningAttempt } from "./engine/running-attempt.ts";
export { Line } from "./limits/line.ts";
export { rateWithoutDecay } from "./limits/process-limiter.ts";
export { logLevel, processLogger, writeLogLine } from "./logger.ts";
export { fromFile as resultFromFile, toFile as resultToFile } from "./results/result-file.ts";
export { ConcurrentSession } from "./runners/concurrent-task-runner.ts";
export { asSecret } from "./secret.ts";
export { watchAbort } from "./tools/abort-watch.ts";
export { orAborted } from "./tools/or-aborted.ts";
export { Queue } from "./tools/queue.ts";
export { decode, decodeWithInputs, EncodedValue, encode, encodeWithInputs } from "./values/codec.ts";
export { DistantValue } from "./values/distant-value.ts";
export { packMessage, unpackMessage } from "./values/packer.ts";
export { receivedValue } from "./values/received-value.ts";
export { WholeInput } from "./values/whole-input.ts";
