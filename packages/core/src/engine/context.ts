import { AsyncLocalStorage } from "node:async_hooks";
import { MissingContextError } from "../errors/errors.ts";
import type { RunScope, ScopeOwner } from "./run-scope.ts";

/** What the code of a run can know about the run that it is part of. */
export interface RunContext {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  /** Absent in the flow's own function. */
  readonly taskRunId: string | undefined;
  readonly taskName: string | undefined;
  readonly taskRunName: string | undefined;
  /** Which try this is, of the task or of the flow. Counted from 1. */
  readonly attempt: number;
  /** The tags of this run; runs made inside it add their own. */
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** What the function was called with: the flow's parameters, or the array of the task's arguments. */
  readonly parameters: unknown;
  /** Fires when the run is to end early: its time is over, or somebody cancelled it. Its reason says which. */
  readonly signal: AbortSignal;
}

/** The context as the engine holds it: with what runs made inside this one belong to, and share. */
export interface ActiveContext extends RunContext, ScopeOwner {
  readonly taskRunId: string | undefined;
  scope(): RunScope;
}

interface Store {
  /** Undefined: outside every run, but inside a `tags()` scope. */
  readonly run: ActiveContext | undefined;
  readonly tags: readonly string[];
}

const storage = new AsyncLocalStorage<Store>();

/** The context of the run that the calling code is part of. @throws MissingContextError outside every run */
export function getRunContext(): RunContext {
  const run = activeContext();
  if (run === undefined) throw new MissingContextError("getRunContext()");
  const { flowRunId, flowName, flowRunName, taskRunId, taskName, taskRunName } = run;
  const { attempt, tags, logConsole, parameters } = run;
  const context = {
    ...{ flowRunId, flowName, flowRunName, taskRunId, taskName, taskRunName },
    ...{ attempt, tags, logConsole, parameters },
  };
  // Made when somebody asks: an AbortController costs as much as the rest of an attempt. Hidden, so that the context is
  // plain data, which a task may return and a log may hold.
  return Object.defineProperty(context, "signal", { get: () => run.signal }) as RunContext;
}

export function activeContext(): ActiveContext | undefined {
  return storage.getStore()?.run;
}

/** The tags that a run made here starts with. */
export function activeTags(): readonly string[] {
  return storage.getStore()?.tags ?? NO_TAGS;
}

export const NO_TAGS: readonly string[] = [];

export function runInContext<R>(run: ActiveContext, body: () => R): R {
  return storage.run({ run, tags: run.tags }, body);
}

/** Runs outside every run: what is called here belongs to no run, whoever triggered it. */
export function runWithoutContext<R>(body: () => R): R {
  return storage.exit(body);
}

/**
 * Adds tags to every flow run and task run made inside `fn`, also after its awaits. Nested scopes add up.
 *
 * @returns what `fn` returns
 */
export function tags<R>(...args: [...names: string[], fn: () => R]): R {
  const fn = args.at(-1) as () => R;
  const names = args.slice(0, -1) as string[];
  return storage.run({ run: activeContext(), tags: union(activeTags(), names) }, fn);
}

/** The tags of both, each once, in order of appearance. Returns `first` itself when `second` adds nothing. */
export function union(first: readonly string[], second: readonly string[]): readonly string[] {
  if (second.length === 0) return first;
  if (first.length === 0) return second;
  const added = second.filter((tag) => !first.includes(tag));
  return added.length === 0 ? first : [...first, ...added];
}
