import { callHooks, type Hook, type TaskRunInfo } from "../definitions/hooks.ts";
import type { TaskDefinition } from "../definitions/task-definition.ts";
import type { StateType } from "../futures/state.ts";
import type { Slots } from "../limits/limiter.ts";
import { taskRunLogger } from "../logger.ts";
import type { Call, Outcome } from "../runners/task-runner.ts";
import { loadInputs } from "./inputs.ts";
import { KeptResult } from "./kept-result.ts";
import { summaryOf } from "./run-events.ts";
import type { PositionedRun } from "./run-positions.ts";
import { RunRecord } from "./run-record.ts";
import type { RunScope, ScopeMember } from "./run-scope.ts";
import { taskRunInfo } from "./task-run-info.ts";
import type { Upstream } from "./upstream.ts";
import type { CallSurvey, Step, WhyOpen } from "./why-open.ts";

/**
 * Which task run it is, and where: what its runner, its scope, its hooks, the observers and the logs learn of it. It is
 * also the call that the runner is given: one object per run.
 *
 * The classes that extend this one say what happens to the run. They have no fields, and so no constructors, of which
 * each run would pay for one more.
 */
export abstract class TaskRunRecord extends RunRecord implements Call, ScopeMember, PositionedRun {
  readonly task: TaskDefinition;
  /** None once the run is final: they may hold much. */
  args: readonly unknown[];
  readonly scope: RunScope;
  readonly tags: readonly string[];
  readonly number: number;
  openedBefore: ScopeMember | undefined;
  openedAfter: ScopeMember | undefined;
  /** Attempts begun so far. */
  attempt = 0;
  /** The last one on which the runner has reported. */
  protected settledAttempt = 0;
  hasInputs = false;
  ticket: unknown;
  /** What it waits for; undefined once all of it is final. */
  protected upstream: Upstream | undefined;
  /** What a run has only in unusual cases: most of a million have none of it. */
  protected extras: Extras | undefined;

  constructor(
    task: TaskDefinition,
    args: readonly unknown[],
    scope: RunScope,
    tags: readonly string[],
    number: number,
  ) {
    super();
    this.task = task;
    this.args = args;
    this.scope = scope;
    this.tags = tags;
    this.number = number;
    scope.opened(this);
  }

  abstract settle(outcome: Outcome): void;
  abstract cancel(message: string): void;
  abstract whyOpen(survey: CallSurvey): WhyOpen;

  get taskRunId(): string {
    return `${this.scope.id}-${this.number}`;
  }

  get taskRunName(): string {
    return this.extras?.name ?? `${this.task.name}-${this.number}`;
  }

  get givenName(): string | undefined {
    return this.extras?.name;
  }

  get flowRunId(): string {
    return this.scope.owner.flowRunId;
  }

  get flowName(): string {
    return this.scope.owner.flowName;
  }

  get flowRunName(): string {
    return this.scope.owner.flowRunName;
  }

  get logConsole(): boolean {
    return this.scope.owner.logConsole || this.task.logConsole;
  }

  get timeoutSeconds(): number | undefined {
    return this.task.timeoutSeconds || undefined;
  }

  /** The names under which this run, or one that it is made in, holds slots. */
  get heldLimits(): readonly string[] {
    return this.extras?.limits ?? this.scope.owner.heldLimits;
  }

  // ---- Who is told -----------------------------------------------------------------------------------------------

  protected override enter(type: StateType, name?: string, message?: string): void {
    super.enter(type, name, message);
    this.emit();
  }

  protected override leave(): void {
    this.scope.closed(this);
  }

  /** Tells observers of the state. */
  protected emit(): void {
    const { events } = this.scope.owner.services;
    if (!events.isObserved) return;
    const { taskRunId, taskRunName, flowRunId, attempt, tags, task } = this;
    events.emit("task-run-state", {
      ...{ taskRunId, taskName: task.name, taskRunName, taskVersion: task.version, flowRunId, attempt, tags },
      parentTaskRunId: this.scope.owner.taskRunId,
      childFlowRunId: undefined,
      inputs: this.extras?.inputs ?? [],
      state: summaryOf(this.state()),
    });
  }

  protected callHooks(hooks: readonly Hook<TaskRunInfo>[]): void {
    if (hooks.length === 0) return;
    const onError = (error: unknown) =>
      taskRunLogger(this).error({ err: error }, "a hook of the task failed");
    const [info, state] = [this.info(), this.state()];
    const call = () => callHooks(hooks, info, state, onError);
    const loading = [loadInputs(this), this.distant?.load()].filter((load) => load !== undefined);
    void this.scope.during(loading.length === 0 ? call() : Promise.allSettled(loading).then(call));
  }

  protected info(): TaskRunInfo {
    return taskRunInfo(this);
  }

  // ---- What few runs have ----------------------------------------------------------------------------------------

  protected extra(): Extras {
    this.extras ??= {};
    return this.extras;
  }

  protected keptResult(): KeptResult {
    const store = this.task.resultStore ?? this.scope.owner.services.resultStore;
    this.extra().kept ??= new KeptResult(this.task, store, () => taskRunLogger(this));
    return this.extras?.kept as KeptResult;
  }

  protected interruption(): AbortController {
    this.extra().interruption ??= new AbortController();
    return this.extras?.interruption as AbortController;
  }
}

interface Extras {
  name?: string;
  inputs?: readonly string[];
  kept?: KeptResult;
  slots?: Slots | undefined;
  limits?: readonly string[] | undefined;
  /** Ends what the run waits for before its attempt. */
  interruption?: AbortController;
  retryTimer?: NodeJS.Timeout;
  /** When that fires. */
  retryAt?: number;
  /** What is done for the run while nobody executes it, when that takes time. */
  step?: Step | undefined;
  /** Set once somebody asked for the end of the run. */
  cancelMessage?: string;
  /** Why it will not run: set when it waits for its worker to hear of that. */
  notReadyMessage?: string;
}
