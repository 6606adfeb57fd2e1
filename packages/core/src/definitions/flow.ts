import type { StandardSchemaV1 } from "@standard-schema/spec";
import { activeContext, activeTags, union } from "../engine/context.ts";
import { FlowRun } from "../engine/flow-run.ts";
import { completedBefore } from "../engine/subflow.ts";
import { FlowRunEndedError, InvalidOptionError, UnnamedError } from "../errors/errors.ts";
import { ConcurrentTaskRunner } from "../runners/concurrent-task-runner.ts";
import { callSite } from "./call-site.ts";
import type { FlowDefinition } from "./flow-definition.ts";
import {
  FLOW_DEFAULTS,
  type FlowCallOptions,
  type FlowOptions,
  flowCallOptionRules,
  flowOptionRules,
} from "./flow-options.ts";
import { flowVersion } from "./flow-version.ts";
import * as rules from "./options.ts";
import type { WaitFor } from "./task-options.ts";
import type { OrFuture, Resolved } from "./types.ts";
import { checkCopy } from "./worker-mode.ts";

/** The parameters argument of a flow's function: none, when the function takes none. */
type Parameters_<P> = unknown extends P
  ? [parameters?: P]
  : undefined extends P
    ? [parameters?: OrFuture<P>]
    : [parameters: OrFuture<P>];

/** A function whose runs Millrace follows, and which may call tasks. */
export interface Flow<P, R> {
  /** Runs the flow. Gives what it returns, or throws what the run failed with. */
  (...args: Parameters_<P>): Promise<R>;
  readonly name: string;
  /** The option's, or a hash of the text of the module that defines the flow; undefined where that is no file. */
  readonly version: string | undefined;
  /** Starts a run and returns its handle at once. */
  start(...args: Parameters_<P>): FlowRun<R>;
  /** The same flow with other options; 0, false and empty lists override as any value does. */
  withOptions(options: FlowCallOptions): Flow<P, R>;
}

/**
 * Makes a flow of a function, which takes one object of parameters, or nothing.
 *
 * @throws UnnamedError, UnknownOptionError, InvalidOptionError; in a worker, SeveralCopiesError
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
  rules.checkOptions("flow()", options, flowOptionRules);
  if (typeof fn !== "function") throw new InvalidOptionError("the function of flow()", "a function", fn);
  const name = options.name ?? fn.name;
  if (name === "") throw new UnnamedError("flow");
  checkCopy();
  const defaults = { ...FLOW_DEFAULTS, taskRunner: new ConcurrentTaskRunner() };
  const { moduleUrl } = callSite();
  return makeFlow({ ...defaults, ...given(options), fn, name, moduleUrl }, undefined);
}

function given(options: FlowOptions): Partial<FlowDefinition> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function makeFlow(definition: FlowDefinition, waitFor: WaitFor | undefined): Flow<unknown, unknown> {
  const start = (parameters?: unknown) => {
    const context = activeContext();
    const parent = context?.scope();
    if (parent?.ended) throw new FlowRunEndedError(definition.name, parent.owner.flowRunId);
    const done = parent && completedBefore(parent, definition.name);
    if (done !== undefined) return done;
    return new FlowRun(definition, parameters, {
      tags: union(activeTags(), definition.tags),
      logConsole: definition.logConsole || (context?.logConsole ?? false),
      parent,
      waitFor,
    });
  };
  const call = (parameters?: unknown): Promise<unknown> => start(parameters).result();
  Object.defineProperty(call, "name", { value: definition.name });
  Object.defineProperty(call, "version", { get: () => flowVersion(definition) });
  return Object.assign(call, {
    start,
    withOptions: (options: FlowCallOptions) => {
      const defaults = { ...FLOW_DEFAULTS, taskRunner: new ConcurrentTaskRunner() };
      const overrides = rules.checkOverrides("withOptions()", options, flowCallOptionRules, defaults);
      const { waitFor: newWaitFor = options.waitFor === null ? undefined : waitFor, ...others } =
        overrides.given;
      return makeFlow({ ...definition, ...overrides.resets, ...given(others) }, newWaitFor);
    },
  }) as Flow<unknown, unknown>;
}
