import type { CallSite } from "./call-site.ts";
import type { Hook, TaskRunInfo } from "./hooks.ts";
import type { RetryPolicy } from "./retry.ts";
import type { State } from "./state.ts";

/** May return a promise. One that throws counts as no. */
export type RetryCondition = (run: TaskRunInfo, failed: State) => unknown;

/** A task with its options filled in: what the engine, the runners and the workers read. Immutable. */
export interface TaskDefinition extends RetryPolicy {
  readonly fn: (...args: never[]) => unknown;
  readonly name: string;
  readonly description: string | undefined;
  readonly version: string | undefined;
  readonly tags: readonly string[];
  /** How many times a call may be in a thread or process that dies, and be run again. */
  readonly crashRetries: number;
  readonly logConsole: boolean;
  /** Asked after a failed attempt, when another is left: shall it be made? */
  readonly retryConditionFn: RetryCondition | undefined;
  readonly onRunning: readonly Hook<TaskRunInfo>[];
  readonly onCompletion: readonly Hook<TaskRunInfo>[];
  readonly onFailure: readonly Hook<TaskRunInfo>[];
  readonly callSite: CallSite;
  /** The module to import for this task instead of the one that defined it: `file:` URL or absolute path. */
  readonly module: string | undefined;
}

/** What the options are that a user leaves out. */
export const TASK_DEFAULTS = {
  description: undefined,
  version: undefined,
  tags: [],
  retries: 0,
  retryDelaySeconds: 0,
  retryJitterFactor: 0,
  retryConditionFn: undefined,
  onRunning: [],
  onCompletion: [],
  onFailure: [],
  crashRetries: 3,
  logConsole: false,
} satisfies Partial<TaskDefinition>;
