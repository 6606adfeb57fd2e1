import type { StandardSchemaV1 } from "@standard-schema/spec";
import { ConcurrentTaskRunner } from "./concurrent-task-runner.ts";
import { activeContext, activeTags, union } from "./context.ts";
import { InvalidOptionError, UnnamedError } from "./errors.ts";
import { FlowRun } from "./flow-run.ts";
import { type FlowRunInfo, type Hook, hookList } from "./hooks.ts";
import * as rules from "./options.ts";
import type { TaskRunner } from "./task-runner.ts";
import type { Resolved } from "./types.ts";

export interface FlowOptions {
  /** Default: the function's name. */
  readonly name?: string;
  /** For people. Default: none. */
  readonly description?: string;
  /** For people. Default: none. */
  readonly version?: string;
  /** Any Standard Schema (zod, valibot, arktype): parameters are checked, and what it gives is passed on. Default: none. */
  readonly parameters?: StandardSchemaV1;
  /** false: parameters are passed on as they came, though there is a schema. Default: true. */
  readonly validateParameters?: boolean;
  /** Called once, before the flow's function. Default: none. */
  readonly onRunning?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is COMPLETED. Default: none. */
  readonly onCompletion?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is FAILED. Default: none. */
  readonly onFailure?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is CRASHED. Default: none. */
  readonly onCrashed?: readonly Hook<FlowRunInfo>[];
  /** Where the flow's tasks run. Default: a ConcurrentTaskRunner. */
  readonly taskRunner?: TaskRunner;
  /** Added to the tags of the flow run and of every task run in it. Default: none. */
  readonly tags?: readonly string[];
  /** Sends what the flow and its tasks write to `console` to their run loggers. Default: false. */
  readonly logConsole?: boolean;
}

/** A flow with its options filled in. Immutable. */
export interface FlowDefinition {
  readonly fn: (parameters: never) => unknown;
  readonly name: string;
  readonly description: string | undefined;
  readonly version: string | undefined;
  readonly parameters: StandardSchemaV1 | undefined;
  readonly validateParameters: boolean;
  readonly onRunning: readonly Hook<FlowRunInfo>[];
  readonly onCompletion: readonly Hook<FlowRunInfo>[];
  readonly onFailure: readonly Hook<FlowRunInfo>[];
  readonly onCrashed: readonly Hook<FlowRunInfo>[];
  readonly taskRunner: TaskRunner;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
}

const optionRules: rules.OptionRules<FlowOptions> = {
  name: rules.text,
  description: rules.anyText,
  version: rules.text,
  parameters: {
    expected: "a Standard Schema, such as z.object({ ... })",
    accepts: (value) =>
      value !== null && value !== undefined && typeof value !== "string" && "~standard" in Object(value),
  },
  validateParameters: rules.flag,
  onRunning: hookList,
  onCompletion: hookList,
  onFailure: hookList,
  onCrashed: hookList,
  taskRunner: rules.having("a task runner, such as new ConcurrentTaskRunner()", "open"),
  tags: rules.texts,
  logConsole: rules.flag,
};

/** The parameters argument of a flow's function: none, when the function takes none. */
type Parameters_<P> = unknown extends P
  ? [parameters?: P]
  : undefined extends P
    ? [parameters?: P]
    : [parameters: P];

/** A function whose runs Millrace follows, and which may call tasks. */
export interface Flow<P, R> {
  /** Runs the flow. Gives what it returns, or throws what the run failed with. */
  (...args: Parameters_<P>): Promise<R>;
  readonly name: string;
  /** Starts a run and returns its handle at once. */
  start(...args: Parameters_<P>): FlowRun<R>;
  /** The same flow with other options. */
  withOptions(options: FlowOptions): Flow<P, R>;
}

/**
 * Makes a flow of a function, which takes one object of parameters, or nothing.
 *
 * @throws UnnamedError, UnknownOptionError, InvalidOptionError
 */
export function flow<P = undefined, R = unknown>(fn: (parameters: P) => R): Flow<P, Resolved<R>>;
export function flow<S extends StandardSchemaV1, R>(
  options: FlowOptions & { readonly parameters: S },
  fn: (parameters: StandardSchemaV1.InferOutput<S>) => R,
): Flow<StandardSchemaV1.InferInput<S>, Resolved<R>>;
export function flow<P = undefined, R = unknown>(
  options: FlowOptions & { readonly parameters?: undefined },
  fn: (parameters: P) => R,
): Flow<P, Resolved<R>>;
export function flow(
  first: FlowOptions | ((parameters: never) => unknown),
  second?: (parameters: never) => unknown,
): Flow<unknown, unknown> {
  const [options, fn] = typeof first === "function" ? [{}, first] : [first, second];
  rules.checkOptions("flow()", options, optionRules);
  if (typeof fn !== "function") throw new InvalidOptionError("the function of flow()", "a function", fn);
  const name = options.name ?? fn.name;
  if (name === "") throw new UnnamedError("flow");
  return makeFlow({
    description: undefined,
    version: undefined,
    parameters: undefined,
    validateParameters: true,
    onRunning: [],
    onCompletion: [],
    onFailure: [],
    onCrashed: [],
    taskRunner: new ConcurrentTaskRunner(),
    tags: [],
    logConsole: false,
    ...given(options),
    fn,
    name,
  });
}

function given(options: FlowOptions): Partial<FlowDefinition> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function makeFlow(definition: FlowDefinition): Flow<unknown, unknown> {
  const start = (parameters?: unknown) =>
    new FlowRun(definition, parameters, {
      tags: union(activeTags(), definition.tags),
      logConsole: definition.logConsole || (activeContext()?.logConsole ?? false),
    });
  const call = (parameters?: unknown): Promise<unknown> => start(parameters).result();
  Object.defineProperty(call, "name", { value: definition.name });
  return Object.assign(call, {
    start,
    withOptions: (options: FlowOptions) => {
      rules.checkOptions("withOptions()", options, optionRules);
      return makeFlow({ ...definition, ...given(options) });
    },
  }) as Flow<unknown, unknown>;
}
