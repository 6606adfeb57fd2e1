import { captureConsole } from "./console-capture.ts";
import { type ActiveContext, runInContext, runWithoutContext } from "./context.ts";
import { resolveReturned } from "./final-state.ts";
import { RunScope } from "./run-scope.ts";
import type { TaskDefinition } from "./task-definition.ts";
import type { Outcome, RunnerSession } from "./task-runner.ts";

/** What one attempt needs to know about its call. */
export interface AttemptInfo {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly taskRunId: string;
  /** Counted from 1. */
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
}

/**
 * Calls the user's function once, here, in its run context, and reports how it ended. The same code on every runner:
 * in the flow's process, and in a worker's thread. Never throws. The outcome comes at once when the function is
 * synchronous, since a promise per call would cost more than most of the engine.
 *
 * @param openSession gives the runner for tasks that the function calls itself
 */
export function runAttempt(
  task: TaskDefinition,
  args: readonly unknown[],
  info: AttemptInfo,
  openSession: () => RunnerSession,
): Outcome | Promise<Outcome> {
  const context = new AttemptContext(task, info, openSession);
  if (context.logConsole) captureConsole();
  try {
    const returned = runInContext(context, () => (task.fn as (...args: unknown[]) => unknown)(...args));
    if (typeof returned !== "object" || returned === null) {
      return context.hasScope ? finishLater(context, Promise.resolve(returned)) : completed(returned);
    }
    if (isThenable(returned) || context.hasScope) {
      return finishLater(context, returned as PromiseLike<unknown>);
    }
    const resolved = resolveReturned(returned);
    return isThenable(resolved) ? finishLater(context, resolved) : completed(resolved);
  } catch (error) {
    return context.hasScope ? finishLater(context, Promise.reject(error)) : threw(error);
  }
}

/** Waits for the function, for the futures in what it returned, and for every task that it submitted. */
async function finishLater(context: AttemptContext, returned: PromiseLike<unknown>): Promise<Outcome> {
  let outcome: Outcome;
  try {
    const value = await returned;
    outcome = completed(await resolveReturned(value));
  } catch (error) {
    outcome = threw(error);
  }
  await context.end();
  return outcome;
}

function completed(value: unknown): Outcome {
  return { type: "returned", value };
}

function threw(error: unknown): Outcome {
  return { type: "threw", error, retriable: true };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

class AttemptContext implements ActiveContext {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly taskRunId: string;
  readonly taskName: string;
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  readonly #openSession: () => RunnerSession;
  #scope: RunScope | undefined;

  constructor(task: TaskDefinition, info: AttemptInfo, openSession: () => RunnerSession) {
    this.flowRunId = info.flowRunId;
    this.flowName = info.flowName;
    this.taskRunId = info.taskRunId;
    this.taskName = task.name;
    this.attempt = info.attempt;
    this.tags = info.tags;
    this.logConsole = info.logConsole;
    this.#openSession = openSession;
  }

  get hasScope(): boolean {
    return this.#scope !== undefined;
  }

  /** Tasks called inside this one; the id has the attempt, so that a retry does not number its calls like the first. */
  scope(): RunScope {
    this.#scope ??= new RunScope(
      `${this.taskRunId}.${this.attempt}`,
      this,
      runWithoutContext(this.#openSession),
    );
    return this.#scope;
  }

  async end(): Promise<void> {
    if (this.#scope === undefined) return;
    await this.#scope.end();
    await this.#scope.session.close();
  }
}
