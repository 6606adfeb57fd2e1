import type { TaskDefinition } from "../definitions/task-definition.ts";
import { RunTimeoutError } from "../errors/errors.ts";
import type { CallScope, Outcome, RunnerSession } from "../runners/task-runner.ts";
import { Abortable } from "./abortable.ts";
import { captureConsole } from "./console-capture.ts";
import { type ActiveContext, runInContext, runWithoutContext } from "./context.ts";
import { resolveReturned } from "./final-state.ts";
import { RunScope } from "./run-scope.ts";
import type { RunServices } from "./run-services.ts";
import { RunningAttempt } from "./running-attempt.ts";

/** What one attempt needs to know about its call. */
export interface AttemptInfo {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  readonly taskRunId: string;
  readonly taskRunName: string;
  /** Counted from 1. */
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** How long the function may take; undefined: as long as it needs. */
  readonly timeoutSeconds: number | undefined;
  /** See ScopeOwner. */
  readonly heldLimits: readonly string[];
  /** The run in which the task was called, where this is the process in which it was. */
  readonly scope?: CallScope;
}

/** What the function finds around it, for the tasks that it calls itself. */
export interface AttemptHost {
  readonly services: RunServices;
  /** The runner for them. Asked at most once per attempt, when the first is called. */
  openSession(): RunnerSession;
}

/**
 * Calls the user's function once, here, in its run context, and reports how it ended. The same code on every runner:
 * in the flow's process, and in a worker's thread. Never throws. The outcome comes at once when the function is
 * synchronous, since a promise per call would cost more than most of the engine.
 */
export function runAttempt(
  task: TaskDefinition,
  args: readonly unknown[],
  info: AttemptInfo,
  host: AttemptHost,
): Outcome | RunningAttempt {
  const context = new AttemptContext(task, args, info, host);
  if (context.logConsole) captureConsole();
  const startedAt = info.timeoutSeconds === undefined ? 0 : performance.now();
  let returned: unknown;
  try {
    returned = runInContext(context, () => (task.fn as (...args: unknown[]) => unknown)(...args));
    if (!isThenable(returned) && !context.hasScope) returned = resolveReturned(returned);
    if (!isThenable(returned) && !context.hasScope) {
      return isLate(info, startedAt) ? timedOut(info) : { type: "returned", value: returned };
    }
  } catch (error) {
    const outcome: Outcome = isLate(info, startedAt)
      ? timedOut(info)
      : { type: "threw", error, retriable: true };
    if (!context.hasScope) return outcome;
    returned = Promise.reject(error);
  }
  return new RunningAttempt(context, Promise.resolve(returned), info.timeoutSeconds, startedAt);
}

/** A function that does not await cannot be interrupted by its own thread: that its time was over shows when it is back. */
function isLate({ timeoutSeconds }: AttemptInfo, startedAt: number): boolean {
  return timeoutSeconds !== undefined && performance.now() - startedAt > timeoutSeconds * 1000;
}

function timedOut({ timeoutSeconds }: AttemptInfo): Outcome {
  return { type: "timed-out", error: new RunTimeoutError("Task run", timeoutSeconds as number) };
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}

/** The run context of one attempt. */
export class AttemptContext implements ActiveContext {
  readonly taskName: string;
  readonly parameters: readonly unknown[];
  readonly #info: AttemptInfo;
  readonly #host: AttemptHost;
  readonly #abortable = new Abortable();
  #scope: RunScope | undefined;

  constructor(task: TaskDefinition, args: readonly unknown[], info: AttemptInfo, host: AttemptHost) {
    this.taskName = task.name;
    this.parameters = args;
    this.#info = info;
    this.#host = host;
  }

  get flowRunId(): string {
    return this.#info.flowRunId;
  }

  get flowName(): string {
    return this.#info.flowName;
  }

  get flowRunName(): string {
    return this.#info.flowRunName;
  }

  get taskRunId(): string {
    return this.#info.taskRunId;
  }

  get taskRunName(): string {
    return this.#info.taskRunName;
  }

  get attempt(): number {
    return this.#info.attempt;
  }

  get tags(): readonly string[] {
    return this.#info.tags;
  }

  get logConsole(): boolean {
    return this.#info.logConsole;
  }

  get heldLimits(): readonly string[] {
    return this.#info.heldLimits;
  }

  get services(): RunServices {
    return this.#host.services;
  }

  isWithin(run: object): boolean {
    return this.#info === run || (this.#info.scope?.owner.isWithin(run) ?? false);
  }

  get signal(): AbortSignal {
    return this.#abortable.signal;
  }

  get hasScope(): boolean {
    return this.#scope !== undefined;
  }

  /** Tasks called inside this one; the id has the attempt, so that a retry does not number its calls like the first. */
  scope(): RunScope {
    this.#scope ??= new RunScope(
      `${this.taskRunId}.${this.attempt}`,
      this,
      runWithoutContext(() => this.#host.openSession()),
    );
    return this.#scope;
  }

  /** Asks the function, and the runs that it has made, to end. */
  abort(reason: Error): void {
    this.#abortable.abort(reason);
    this.#scope?.cancel(reason.message);
  }

  /** Resolves when every run that the function has made is final. */
  async end(): Promise<void> {
    if (this.#scope === undefined) return;
    await this.#scope.end();
    await this.#scope.session.close();
  }
}
