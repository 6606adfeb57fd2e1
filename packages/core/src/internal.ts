/** What Millrace's other packages use of core, and users should not: it may change in any release. */
export { watchAbort } from "./abort-watch.ts";
export { type AttemptHost, type AttemptInfo, runAttempt } from "./attempt.ts";
export { decode, decodeWithInputs, EncodedValue, encode, encodeWithInputs } from "./codec.ts";
export { ConcurrentSession } from "./concurrent-task-runner.ts";
export { activeContext, NO_TAGS, runWithoutContext } from "./context.ts";
export { DistantValue } from "./distant-value.ts";
export { Line } from "./line.ts";
export { logLevel, processLogger, writeLogLine } from "./logger.ts";
export * as rules from "./options.ts";
export { orAborted } from "./or-aborted.ts";
export { packMessage, unpackMessage } from "./packer.ts";
export { rateWithoutDecay } from "./process-limiter.ts";
export {
  currentProjectRoot,
  entryModule,
  findProjectRoot,
  fromModulePath,
  setProjectRoot,
  toModulePath,
} from "./project-root.ts";
export { Queue } from "./queue.ts";
export { receivedValue } from "./received-value.ts";
export { findTask, registrationModule, taskNames, taskRegistered } from "./registry.ts";
export { fromFile as resultFromFile, toFile as resultToFile } from "./result-file.ts";
export { processEvents, type RunEventSink } from "./run-events.ts";
export type { RunScope, ScopeOwner } from "./run-scope.ts";
export { defaultServices, type RunServices } from "./run-services.ts";
export type { RunningAttempt } from "./running-attempt.ts";
export { asSecret } from "./secret.ts";
export { TASK_DEFAULTS, type TaskDefinition } from "./task-definition.ts";
export { WholeInput } from "./whole-input.ts";
export { callIgnored, enterWorkerMode, inWorkerMode, never } from "./worker-mode.ts";
