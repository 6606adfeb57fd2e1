import { InvalidOptionError } from "../errors/errors.ts";
import { TaskFuture } from "../futures/future.ts";
import { State } from "../futures/state.ts";
import { type ResultStore, resultStoreRule } from "../results/result-store.ts";
import { AllowFailure } from "./annotations.ts";
import { moduleUrlOf } from "./call-site.ts";
import { type Hook, hookList, type TaskRunInfo } from "./hooks.ts";
import * as rules from "./options.ts";
import { MAX_RETRY_DELAYS } from "./retry.ts";
import type { CacheKeyFn, RetryCondition, TaskDefinition } from "./task-definition.ts";

/** @typeParam Args the arguments of the task's function; not needed to write options down in a variable */
// biome-ignore lint/suspicious/noExplicitAny: the options of any task; `unknown[]` would refuse those of a given one.
export interface TaskOptions<Args extends readonly unknown[] = any> {
  /** Default: the function's name. With its module, it is how a worker finds the task. */
  readonly name?: string;
  /** For people. Default: none. */
  readonly description?: string;
  /** For people. Default: none. */
  readonly version?: string;
  /**
   * The name of each run, for people: a template in which `{0}` is the first argument and `{1.month}` a part of the
   * second, or a function. Made once per run, when its inputs are there. Default: `<task name>-<number of the run>`.
   */
  readonly taskRunName?: string | ((run: TaskRunInfo) => string);
  /** Added to the tags of every run of this task. Default: none. */
  readonly tags?: readonly string[];
  /** Attempts after a failed first one. Default: 0. */
  readonly retries?: number;
  /** Wait before a retry: one number, one per retry (the last repeats), or a function that gives them. Default: 0. */
  readonly retryDelaySeconds?: number | readonly number[] | ((retries: number) => readonly number[]);
  /** Varies each delay around its value, to at most delay × (1 + factor). Default: 0, the delay as given. */
  readonly retryJitterFactor?: number;
  /**
   * Asked after a failed attempt, when another is left: shall it be made? May return a promise; one that throws counts
   * as no. Default: always.
   */
  readonly retryConditionFn?: RetryCondition;
  /**
   * How long an attempt may take, in seconds. When the time is over its signal (`getRunContext().signal`) fires and the
   * run is FAILED, with the name TimedOut; it may be tried again. In a worker, code that goes on is stopped; on the
   * event loop it cannot be. Default: 0, as long as it needs.
   */
  readonly timeoutSeconds?: number;
  /**
   * Gives the key under which a completed run's result is kept: a later run with the same key ends with that result,
   * COMPLETED with the name Cached, and does not run. Keys are global: `taskInputHash` makes one of the task's name,
   * source and arguments. null or undefined: not cached. Default: none.
   */
  readonly cacheKeyFn?: CacheKeyFn<Args>;
  /** How long a kept result counts, in seconds from its completion; a negative one is never found. Default: for ever. */
  readonly cacheExpirationSeconds?: number;
  /** true: runs although there is a kept result, which it replaces. Default: `MILLRACE_REFRESH_CACHE`, or false. */
  readonly refreshCache?: boolean;
  /** Keeps the result of every completed run under the run's id: see `storedResult`. Default: as the flow says, or false. */
  readonly persistResult?: boolean;
  /** Where results are kept. Default: as the flow says; or the Redis of a standing cluster; or files. */
  readonly resultStore?: ResultStore;
  /** Called with each attempt that starts. Default: none. */
  readonly onRunning?: readonly Hook<TaskRunInfo>[];
  /** Called when a run is COMPLETED. Default: none. */
  readonly onCompletion?: readonly Hook<TaskRunInfo>[];
  /** Called when a run is FAILED, after its last attempt. Default: none. */
  readonly onFailure?: readonly Hook<TaskRunInfo>[];
  /**
   * The workers of a standing cluster that run the task: those that serve this queue. A local cluster serves all queues,
   * and the other task runners have none. Default: the queue of the task runner.
   */
  readonly queue?: string;
  /**
   * Of the calls of a flow run that wait, those with a higher one are sent to workers first; a whole number, which may be
   * negative. Calls that running tasks make go before all others. The DistributedTaskRunner heeds it. Default: 0.
   */
  readonly priority?: number;
  /** How often a call whose thread or process died is run again before the run is CRASHED. Default: 3. */
  readonly crashRetries?: number;
  /** Sends what the task writes to `console` to its run logger. Default: false. */
  readonly logConsole?: boolean;
  /** The module that workers import to find this task: `import.meta.url`. For bundled code. Default: where it is defined. */
  readonly module?: string;
}

/** The options of runs: those of a task's identity are left out, since by another name no worker would find the task. */
export type TaskOverrides<Args extends readonly unknown[]> = Omit<TaskOptions<Args>, "name" | "module"> & {
  /** Runs start only when these are completed; their values are not used. */
  readonly waitFor?: WaitFor;
};

/** What `withOptions` takes. null: as if the option had never been given. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type TaskCallOptions<Args extends readonly unknown[] = any> = OrNull<TaskOverrides<Args>>;

type OrNull<Options> = { readonly [Name in keyof Options]: Options[Name] | null };

/** Futures to wait for; in `allowFailure`, one that may have failed. */
export type WaitFor = readonly (TaskFuture<unknown> | State | AllowFailure<unknown>)[];

export const taskOptionRules: rules.OptionRules<TaskOptions> = {
  name: rules.text,
  description: rules.anyText,
  version: rules.text,
  tags: rules.texts,
  retries: rules.wholeNumber(0),
  retryDelaySeconds: {
    expected: `${rules.seconds.expected}, an array of 1 to ${MAX_RETRY_DELAYS} of them, or a function that gives one`,
    accepts: (value) => typeof value === "function" || rules.seconds.accepts(value) || isDelayList(value),
  },
  retryJitterFactor: rules.finiteNumber(0),
  retryConditionFn: rules.func,
  taskRunName: rules.either(rules.text, rules.func),
  timeoutSeconds: rules.seconds,
  cacheKeyFn: rules.func,
  cacheExpirationSeconds: rules.finiteNumber(Number.NEGATIVE_INFINITY),
  refreshCache: rules.flag,
  persistResult: rules.flag,
  resultStore: resultStoreRule,
  onRunning: hookList,
  onCompletion: hookList,
  onFailure: hookList,
  queue: rules.text,
  priority: rules.wholeNumber(Number.MIN_SAFE_INTEGER),
  crashRetries: rules.wholeNumber(0),
  logConsole: rules.flag,
  module: {
    expected: "the `file:` URL or the absolute path of a module, such as import.meta.url",
    accepts: (value) => typeof value === "string" && moduleUrlOf(value) !== undefined,
  },
};

export const waitForRule: rules.OptionRule = {
  expected: "an array of futures or states",
  accepts: (value) => Array.isArray(value) && value.every(isWaitedFor),
};

function isWaitedFor(item: unknown): boolean {
  return item instanceof TaskFuture || item instanceof State || item instanceof AllowFailure;
}

const { name: _name, module: _module, ...optionRulesOfRuns } = taskOptionRules;

export const taskCallOptionRules: rules.OptionRules<TaskOverrides<never>> = {
  ...optionRulesOfRuns,
  waitFor: waitForRule,
};

function isDelayList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_RETRY_DELAYS &&
    value.every(rules.seconds.accepts)
  );
}

/** The options that were given, in the form in which the engine reads them. */
export function settled(
  { name: _, module: __, ...given }: TaskOptions<never>,
  knownRetries: number,
): Partial<TaskDefinition> {
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  if (typeof given.retryDelaySeconds !== "function") return present;
  const delays = given.retryDelaySeconds(given.retries ?? knownRetries);
  if (!isDelayList(delays)) {
    throw new InvalidOptionError(
      "what retryDelaySeconds of task() gives",
      taskOptionRules.retryDelaySeconds.expected,
      delays,
    );
  }
  return { ...present, retryDelaySeconds: delays };
}
