import { AllowFailure } from "./annotations.ts";
import { callSite, moduleUrlOf } from "./call-site.ts";
import { activeContext, activeTags, union } from "./context.ts";
import { findDependencies, findDependenciesInArguments } from "./dependencies.ts";
import { runDetached } from "./detached.ts";
import { FlowRunEndedError, InvalidOptionError, MissingContextError, UnnamedError } from "./errors.ts";
import { TaskFuture, TaskFutureList } from "./future.ts";
import { type Hook, hookList, type TaskRunInfo } from "./hooks.ts";
import { isMapped, type MapArguments, type MapArgumentsOrFutures, mapArguments } from "./map.ts";
import * as rules from "./options.ts";
import { registerTask } from "./registry.ts";
import { MAX_RETRY_DELAYS } from "./retry.ts";
import { RunScope } from "./run-scope.ts";
import { type RetryCondition, TASK_DEFAULTS, type TaskDefinition } from "./task-definition.ts";
import { TaskRun } from "./task-run.ts";
import type { RunnerSession } from "./task-runner.ts";
import type { ArgumentsOrFutures, Resolved } from "./types.ts";
import { inWorkerMode, never } from "./worker-mode.ts";

export interface TaskOptions {
  /** Default: the function's name. With its module, it is how a worker finds the task. */
  readonly name?: string;
  /** For people. Default: none. */
  readonly description?: string;
  /** For people. Default: none. */
  readonly version?: string;
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
  /** Called with each attempt that starts. Default: none. */
  readonly onRunning?: readonly Hook<TaskRunInfo>[];
  /** Called when a run is COMPLETED. Default: none. */
  readonly onCompletion?: readonly Hook<TaskRunInfo>[];
  /** Called when a run is FAILED, after its last attempt. Default: none. */
  readonly onFailure?: readonly Hook<TaskRunInfo>[];
  /** How often a call whose thread or process died is run again before the run is CRASHED. Default: 3. */
  readonly crashRetries?: number;
  /** Sends what the task writes to `console` to its run logger. Default: false. */
  readonly logConsole?: boolean;
  /** The module that workers import to find this task: `import.meta.url`. For bundled code. Default: where it is defined. */
  readonly module?: string;
}

export interface TaskCallOptions extends Omit<TaskOptions, "name" | "module"> {
  /** Runs start only when these are completed; their values are not used. */
  readonly waitFor?: WaitFor;
}

/** Futures to wait for; in `allowFailure`, one that may have failed. */
type WaitFor = readonly (TaskFuture<unknown> | AllowFailure<unknown>)[];

const optionRules: rules.OptionRules<TaskOptions> = {
  name: rules.text,
  description: rules.anyText,
  version: rules.text,
  tags: rules.texts,
  retries: rules.wholeNumber(0),
  retryDelaySeconds: {
    expected: `a number of 0 or more, an array of 1 to ${MAX_RETRY_DELAYS} of them, or a function that gives one`,
    accepts: (value) =>
      typeof value === "function" || rules.finiteNumber(0).accepts(value) || isDelayList(value),
  },
  retryJitterFactor: rules.finiteNumber(0),
  retryConditionFn: rules.func,
  onRunning: hookList,
  onCompletion: hookList,
  onFailure: hookList,
  crashRetries: rules.wholeNumber(0),
  logConsole: rules.flag,
  module: {
    expected: "the `file:` URL or the absolute path of a module, such as import.meta.url",
    accepts: (value) => typeof value === "string" && moduleUrlOf(value) !== undefined,
  },
};

// Without those of a task's identity: by another name or module, no worker would find the task.
const { name: _name, module: _module, ...optionRulesOfRuns } = optionRules;

const callOptionRules: rules.OptionRules<TaskCallOptions> = {
  ...optionRulesOfRuns,
  waitFor: {
    expected: "an array of futures",
    accepts: (value) =>
      Array.isArray(value) &&
      value.every((item) => item instanceof TaskFuture || item instanceof AllowFailure),
  },
};

function isDelayList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_RETRY_DELAYS &&
    value.every(rules.finiteNumber(0).accepts)
  );
}

/** A function that can run as a task: called, submitted, or mapped. */
export interface Task<Args extends readonly unknown[], R> {
  /**
   * Runs the task and gives its value, or throws what it failed with. In a flow it runs through the flow's task
   * runner; outside one, in this process.
   */
  (...args: ArgumentsOrFutures<Args>): Promise<R>;
  readonly name: string;
  /** Starts a run through the flow's task runner, and returns its future at once. @throws MissingContextError, FlowRunEndedError */
  submit(...args: ArgumentsOrFutures<Args>): TaskFuture<R>;
  /** Submits one run per element of the iterables among the arguments, in step. See `unmapped`. */
  map(...args: MapArguments<Args>): TaskFutureList<R>;
  map(...args: MapArgumentsOrFutures<Args>): Promise<TaskFutureList<R>>;
  /** The same task with other options; 0, false and empty lists override as any value does. */
  withOptions(options: TaskCallOptions): Task<Args, R>;
}

/**
 * Makes a task of a function. Define tasks at the top level of a module: a worker imports the module and finds the
 * task there by its name.
 *
 * @throws UnnamedError, DuplicateTaskNameError, UnknownOptionError, InvalidOptionError
 */
export function task<Args extends readonly unknown[], R>(fn: (...args: Args) => R): Task<Args, Resolved<R>>;
export function task<Args extends readonly unknown[], R>(
  options: TaskOptions,
  fn: (...args: Args) => R,
): Task<Args, Resolved<R>>;
export function task<Args extends readonly unknown[], R>(
  first: TaskOptions | ((...args: Args) => R),
  second?: (...args: Args) => R,
): Task<Args, Resolved<R>> {
  const [options, fn] = typeof first === "function" ? [{}, first] : [first, second];
  rules.checkOptions("task()", options, optionRules);
  if (typeof fn !== "function") throw new InvalidOptionError("the function of task()", "a function", fn);
  const name = options.name ?? fn.name;
  if (name === "") throw new UnnamedError("task");
  const definition: TaskDefinition = {
    fn: fn as TaskDefinition["fn"],
    name,
    callSite: callSite(),
    module: moduleUrlOf(options.module),
    ...TASK_DEFAULTS,
    ...settled(options, TASK_DEFAULTS.retries),
  };
  registerTask(definition);
  return makeTask(definition, undefined);
}

/** The options that were given, in the form in which the engine reads them. */
function settled(
  { name: _, module: __, ...given }: TaskOptions,
  knownRetries: number,
): Partial<TaskDefinition> {
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  if (typeof given.retryDelaySeconds !== "function") return present;
  const delays = given.retryDelaySeconds(given.retries ?? knownRetries);
  if (!isDelayList(delays)) {
    throw new InvalidOptionError(
      "what retryDelaySeconds of task() gives",
      optionRules.retryDelaySeconds.expected,
      delays,
    );
  }
  return { ...present, retryDelaySeconds: delays };
}

function makeTask<Args extends readonly unknown[], R>(
  definition: TaskDefinition,
  waitFor: WaitFor | undefined,
): Task<Args, R> {
  const scopeFor = (how: string) =>
    inWorkerMode() && activeContext() === undefined ? IDLE_SCOPE : currentScope(definition.name, how);
  const submit = (...args: unknown[]) =>
    new TaskFuture<R>(startRun(definition, args, waitFor, scopeFor("submit")));
  const methods = {
    submit,
    map: (...args: unknown[]) => {
      const list = (whole: readonly unknown[]) =>
        TaskFutureList.from(mapArguments(definition.name, whole), (row) =>
          submit(...row),
        ) as TaskFutureList<R>;
      const isIterableLater = !args.some(isMapped) && args.some((arg) => arg instanceof TaskFuture);
      if (!isIterableLater) return list(args);
      const inputs = resolveTopLevel(args);
      const later = scopeFor("map").during(inputs.then(list));
      inputs.catch(() => later.catch(ignore)); // Nobody need await it: the failure counts where it happened.
      return later;
    },
    withOptions: (given: TaskCallOptions) => {
      rules.checkOptions("withOptions()", given, callOptionRules);
      const { waitFor: newWaitFor = waitFor, ...options } = given;
      return makeTask<Args, R>({ ...definition, ...settled(options, definition.retries) }, newWaitFor);
    },
  };
  const call = (...args: unknown[]): Promise<unknown> => {
    if (activeContext() !== undefined) {
      return startRun(definition, args, waitFor, currentScope(definition.name, "call")).result();
    }
    return inWorkerMode()
      ? never()
      : runDetached(definition.name, (scope) => startRun(definition, args, waitFor, scope).result());
  };
  Object.defineProperty(call, "name", { value: definition.name });
  return Object.assign(call, methods) as unknown as Task<Args, R>;
}

/** Futures among map's arguments, when nothing else is iterable, stand for the iterables that they resolve to. */
function resolveTopLevel(args: readonly unknown[]): Promise<unknown[]> {
  return Promise.all(args.map((arg) => (arg instanceof TaskFuture ? arg.result() : arg)));
}

function currentScope(taskName: string, how: string): RunScope {
  const context = activeContext();
  if (context === undefined) throw new MissingContextError(`"${taskName}".${how}()`);
  const scope = context.scope();
  if (scope.ended) throw new FlowRunEndedError(taskName, scope.flowRunId);
  return scope;
}

function startRun(
  definition: TaskDefinition,
  args: readonly unknown[],
  waitFor: WaitFor | undefined,
  scope: RunScope,
): TaskRun {
  // First: a getter among the arguments may throw, and a run that is made must end.
  const inputs = findDependenciesInArguments(args);
  const run = new TaskRun(definition, args, scope, union(activeTags(), definition.tags));
  run.start(inputs, findDependencies(waitFor));
  return run;
}

function ignore(): void {}

/** Where submits go that must not act (see worker-mode.ts): their runs never start. */
const IDLE_SESSION: RunnerSession = { submit() {}, async close() {} };
const IDLE_SCOPE = new RunScope(
  "idle",
  { flowRunId: "idle", flowName: "idle", logConsole: false },
  IDLE_SESSION,
);
