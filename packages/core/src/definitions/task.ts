import { activeContext, activeTags, union } from "../engine/context.ts";
import { findDependencies, findDependenciesInArguments, replaceStates } from "../engine/dependencies.ts";
import { detachedScope, runDetached } from "../engine/detached.ts";
import type { RunPositions } from "../engine/run-positions.ts";
import type { RunScope } from "../engine/run-scope.ts";
import { TaskRun } from "../engine/task-run.ts";
import { refuseSelfDependency } from "../engine/upstream.ts";
import {
  FlowRunEndedError,
  InvalidOptionError,
  MissingContextError,
  UnnamedError,
} from "../errors/errors.ts";
import { TaskFuture, TaskFutureList } from "../futures/future.ts";
import { TaskFutureStream } from "../futures/future-stream.ts";
import { DEFAULT_WINDOW_CALLS, type RunnerSession } from "../runners/task-runner.ts";
import { callSite, moduleUrlOf } from "./call-site.ts";
import {
  type HasStream,
  isTakenApart,
  type MapArguments,
  type MapArgumentsOrFutures,
  type MapStreamArguments,
  mapArguments,
  type StreamedArguments,
  streamedArguments,
} from "./map.ts";
import * as rules from "./options.ts";
import { registerTask, registrationModule } from "./registry.ts";
import { TASK_DEFAULTS, type TaskDefinition } from "./task-definition.ts";
import {
  settled,
  type TaskCallOptions,
  type TaskOptions,
  taskCallOptionRules,
  taskOptionRules,
  type WaitFor,
} from "./task-options.ts";
import type { ArgumentsOrFutures, Resolved } from "./types.ts";
import { checkCopy, inWorkerMode, never } from "./worker-mode.ts";

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
  /**
   * Submits one run per element of the iterables among the arguments, in step. See `unmapped`; and for an async iterable,
   * whose elements are submitted as there is room for them, `TaskFutureStream`.
   */
  map<Given extends MapStreamArguments<Args>>(
    ...args: HasStream<Given> extends true ? Given : never
  ): TaskFutureStream<R>;
  map(...args: MapArguments<Args>): TaskFutureList<R>;
  map(...args: MapArgumentsOrFutures<Args>): Promise<TaskFutureList<R>>;
  /** The same task with other options; 0, false and empty lists override as any value does. */
  withOptions(options: TaskCallOptions<NoInfer<Args>>): Task<Args, R>;
}

/**
 * Makes a task of a function. Define tasks at the top level of a module: a worker imports the module and finds the
 * task there by its name.
 *
 * @throws UnnamedError, DuplicateTaskNameError, UnknownOptionError, InvalidOptionError; in a worker, SeveralCopiesError
 */
export function task<Args extends readonly unknown[], R>(fn: (...args: Args) => R): Task<Args, Resolved<R>>;
export function task<Args extends readonly unknown[], R>(
  options: TaskOptions<NoInfer<Args>>,
  fn: (...args: Args) => R,
): Task<Args, Resolved<R>>;
export function task<Args extends readonly unknown[], R>(
  first: TaskOptions<NoInfer<Args>> | ((...args: Args) => R),
  second?: (...args: Args) => R,
): Task<Args, Resolved<R>> {
  const [options, fn] = typeof first === "function" ? [{}, first] : [first, second];
  rules.checkOptions("task()", options, taskOptionRules);
  if (typeof fn !== "function") throw new InvalidOptionError("the function of task()", "a function", fn);
  const name = options.name ?? fn.name;
  if (name === "") throw new UnnamedError("task");
  checkCopy();
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

function makeTask<Args extends readonly unknown[], R>(
  definition: TaskDefinition,
  waitFor: WaitFor | undefined,
): Task<Args, R> {
  const scopeFor = (how: string) =>
    inWorkerMode() && activeContext() === undefined ? IDLE_SCOPE : currentScope(definition.name, how);
  const submit = (args: readonly unknown[]) =>
    new TaskFuture<R>(startRun(definition, args, waitFor, scopeFor("submit")));
  const methods = {
    submit: (...args: unknown[]) => submit(args),
    map: (...args: unknown[]) => {
      const streamed = streamedArguments(definition.name, args);
      if (streamed !== undefined) return stream<R>(definition, streamed, waitFor, scopeFor("map"));
      const list = (whole: readonly unknown[]) => {
        const futures = new TaskFutureList<R>();
        for (const row of mapArguments(definition.name, whole)) futures.push(submit(row));
        return futures;
      };
      const isIterableLater = !args.some(isTakenApart) && args.some((arg) => arg instanceof TaskFuture);
      if (!isIterableLater) return list(args);
      const inputs = resolveTopLevel(args);
      const later = scopeFor("map").during(inputs.then(list));
      inputs.catch(() => later.catch(ignore)); // Nobody need await it: the failure counts where it happened.
      return later;
    },
    withOptions: (given: TaskCallOptions<Args>) => {
      const overrides = rules.checkOverrides("withOptions()", given, taskCallOptionRules, TASK_DEFAULTS);
      const { waitFor: newWaitFor = given.waitFor === null ? undefined : waitFor, ...options } =
        overrides.given;
      const base = { ...definition, ...overrides.resets };
      return makeTask<Args, R>({ ...base, ...settled(options, base.retries) }, newWaitFor);
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
  return refuseEnded(context.scope(), taskName);
}

function refuseEnded(scope: RunScope, taskName: string): RunScope {
  if (scope.ended) throw new FlowRunEndedError(taskName, scope.owner.flowRunId);
  return scope;
}

/** What `map` makes of an async iterable. In a worker that only loads the module, no item of it is ever asked for. */
function stream<R>(
  definition: TaskDefinition,
  { items, argumentsFor }: StreamedArguments,
  waitFor: WaitFor | undefined,
  scope: RunScope,
): TaskFutureStream<R> {
  const context = activeContext();
  return new TaskFutureStream<R>({
    items: scope === IDLE_SCOPE ? { [Symbol.asyncIterator]: () => ({ next: never }) } : items,
    submit: (item) => {
      const open = refuseEnded(scope, definition.name);
      return new TaskFuture<R>(startRun(definition, argumentsFor(item), waitFor, open));
    },
    window: () => scope.session.windowFor?.(definition) ?? DEFAULT_WINDOW_CALLS,
    get signal() {
      return context?.signal;
    },
  });
}

function startRun(
  definition: TaskDefinition,
  args: readonly unknown[],
  waitFor: WaitFor | undefined,
  scope: RunScope,
): TaskRun {
  // First: a getter among the arguments may throw, and a run that is made must end.
  const inputs = findDependenciesInArguments(args);
  const awaited = findDependencies(waitFor);
  if (inputs !== undefined || awaited !== undefined) refuseSelfDependency(scope, inputs, awaited);
  const tags = union(activeTags(), definition.tags);
  const given = inputs?.hasStates ? (replaceStates(args) as unknown[]) : args;
  const start = (number: number) => {
    const run = new TaskRun(definition, given, scope, tags, number);
    run.start(inputs, awaited);
    return run;
  };
  const { positions } = scope;
  if (positions !== undefined) return runAtPosition(definition, scope, positions, start);
  return start(scope.nextNumber());
}

/** The run that an earlier attempt of the flow made at this place, when it completed; else a new one with its number. */
function runAtPosition(
  definition: TaskDefinition,
  scope: RunScope,
  positions: RunPositions,
  make: (number: number) => TaskRun,
): TaskRun {
  const key = `${registrationModule(definition)}\n${definition.name}`;
  const earlier = positions.earlier(key);
  const isDone = earlier instanceof TaskRun && earlier.finalKind() === "completed";
  if (isDone) scope.tally.add("completed", earlier.number, ignore);
  const run = isDone ? earlier : make(earlier?.number ?? scope.nextNumber());
  positions.place(key, run);
  return run;
}

function ignore(): void {}

/** Where submits go that must not act (see worker-mode.ts): their runs never start. */
const IDLE_SESSION: RunnerSession = { submit() {}, cancel: () => false, async close() {} };
const IDLE_SCOPE = detachedScope("idle", "idle", IDLE_SESSION);
