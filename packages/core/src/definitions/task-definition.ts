import type { State } from "../futures/state.ts";
import type { ResultStore } from "../results/result-store.ts";
import type { CallSite } from "./call-site.ts";
import type { Hook, TaskRunInfo } from "./hooks.ts";
import type { RetryPolicy } from "./retry.ts";

/** May return a promise. One that throws counts as no. */
export type RetryCondition = (run: TaskRunInfo, failed: State) => unknown;

/** Gives the key under which the result of a call is kept; null or undefined: it is not. May return a promise. */
export type CacheKeyFn<Args extends readonly unknown[]> = (
  run: TaskRunInfo,
  args: Args,
) => string | null | undefined | PromiseLike<string | null | undefined>;

/** A task with its options filled in: what the engine, the runners and the workers read. Immutable. */
export interface TaskDefinition extends RetryPolicy {
  readonly fn: (...args: never[]) => unknown;
  readonly name: string;
  readonly description: string | undefined;
  readonly version: string | undefined;
  readonly tags: readonly string[];
  readonly taskRunName: string | ((run: TaskRunInfo) => string) | undefined;
  /** How long an attempt may take; undefined or 0: as long as it needs. */
  readonly timeoutSeconds: number | undefined;
  /** The workers that run it: those that serve this queue. Undefined: as the task runner says. */
  readonly queue: string | undefined;
  /** Higher first. */
  readonly priority: number;
  /** How many times a call may be in a thread or process that dies, and be run again. */
  readonly crashRetries: number;
  readonly logConsole: boolean;
  /** Asked after a failed attempt, when another is left: shall it be made? */
  readonly retryConditionFn: RetryCondition | undefined;
  readonly cacheKeyFn: CacheKeyFn<never> | undefined;
  readonly cacheExpirationSeconds: number | undefined;
  readonly refreshCache: boolean | undefined;
  readonly persistResult: boolean | undefined;
  readonly resultStore: ResultStore | undefined;
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
  taskRunName: undefined,
  timeoutSeconds: undefined,
  retries: 0,
  retryDelaySeconds: 0,
  retryJitterFactor: 0,
  retryConditionFn: undefined,
  cacheKeyFn: undefined,
  cacheExpirationSeconds: undefined,
  refreshCache: undefined,
  persistResult: undefined,
  resultStore: undefined,
  onRunning: [],
  onCompletion: [],
  onFailure: [],
  queue: undefined,
  priority: 0,
  crashRetries: 3,
  logConsole: false,
} satisfies Partial<TaskDefinition>;
