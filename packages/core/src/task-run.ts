import type { Dependencies } from "./dependencies.ts";
import { describe } from "./errors.ts";
import { callHooks, type Hook, type TaskRunInfo } from "./hooks.ts";
import { loadInputs, loadValues, needWhole, releaseWhole } from "./inputs.ts";
import { KeptResult } from "./kept-result.ts";
import type { Slots } from "./limiter.ts";
import { taskRunLogger } from "./logger.ts";
import { nextRetryDelayMs } from "./retry.ts";
import { summaryOf } from "./run-events.ts";
import type { PositionedRun } from "./run-positions.ts";
import { type FinalListener, RunRecord } from "./run-record.ts";
import type { RunScope, ScopeMember } from "./run-scope.ts";
import { State, type StateType } from "./state.ts";
import type { RetryCondition, TaskDefinition } from "./task-definition.ts";
import { nameOf, taskRunInfo } from "./task-run-info.ts";
import type { Call, Outcome } from "./task-runner.ts";
import { missingIn } from "./upstream.ts";
import type { CallSurvey, Step, WhyOpen } from "./why-open.ts";

/**
 * One task run, and the loop that takes it through its states: wait for inputs, look into the cache, wait for a slot,
 * execute, look at the outcome, perhaps again, finish. The loop runs where the task is called; only the attempts
 * happen elsewhere.
 */
export class TaskRun extends RunRecord implements Call, FinalListener, ScopeMember, PositionedRun {
  readonly task: TaskDefinition;
  /** None once the run is final: they may hold much. */
  args: readonly unknown[];
  readonly scope: RunScope;
  readonly tags: readonly string[];
  readonly number: number;
  openedBefore: ScopeMember | undefined;
  openedAfter: ScopeMember | undefined;
  attempt = 0;
  private settledAttempt = 0;
  hasInputs = false;
  ticket: unknown;
  private upstream: readonly Dependencies[] | undefined;
  private waitingFor = 0;
  /** What a run has only in unusual cases: most of a million have none of it. */
  private extras: Extras | undefined;

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

  // ---- Before it runs --------------------------------------------------------------------------------------------

  /** Starts the run: at once, or when everything upstream is final. */
  start(inputs: Dependencies | undefined, waitFor: Dependencies | undefined): void {
    this.hasInputs = inputs !== undefined;
    if (inputs !== undefined || waitFor !== undefined) {
      needWhole(this.args);
      this.upstream = [inputs, waitFor].filter((dependencies) => dependencies !== undefined);
      if (this.scope.owner.services.events.isObserved) {
        const inputs = this.upstream.flatMap(({ futures }) => futures.map((future) => future.taskRunId));
        this.extra().inputs = [...new Set(inputs)];
      }
      for (const { futures } of this.upstream) {
        for (const { run } of futures) {
          if (run.isFinal()) continue;
          this.waitingFor++;
          run.onFinal(this);
        }
      }
    }
    this.emit();
    if (this.waitingFor === 0) this.upstreamIsFinal();
    else if (this.isForeseeable()) {
      const runs = this.upstream?.flatMap(({ futures }) => futures.map(({ run }) => run)) ?? [];
      this.scope.session.foresee?.(this, [...new Set(runs)]);
    }
  }

  /** Will nothing but the ends of the runs upstream decide whether the run is executed? */
  private isForeseeable(): boolean {
    const { task, upstream = [] } = this;
    if (this.scope.session.foresee === undefined) return false;
    if (task.cacheKeyFn !== undefined || task.taskRunName !== undefined) return false;
    return (
      this.neededLimits().length === 0 &&
      upstream.every(({ tolerated, unfit }) => tolerated.size + unfit.length === 0)
    );
  }

  /** One of the runs upstream is final. */
  runIsFinal(): void {
    this.waitingFor--;
    if (this.waitingFor === 0 && !this.isFinal() && !this.isCancelled) this.upstreamIsFinal();
  }

  private upstreamIsFinal(): void {
    const { upstream, hasInputs } = this;
    const missing = upstream?.map(missingIn).find((id) => id !== undefined);
    this.upstream = undefined;
    const { cancelMessage } = this.scope;
    // Else runs would end NotReady behind those of their scope that were cancelled a moment before them.
    if (cancelMessage !== undefined) this.cancel(cancelMessage);
    else if (missing !== undefined) {
      this.extra().notReadyMessage = `Upstream task run '${missing}' did not reach a 'COMPLETED' state.`;
      // What it needs may have returned all the same, and was cancelled then: its worker may be about to run it.
      if (this.ticket === undefined || !this.scope.session.cancel(this)) this.finishUnstarted();
    } else {
      const loading = hasInputs ? loadValues(upstream?.[0]?.futures ?? [], this.scope.session) : undefined;
      if (loading === undefined) this.prepareOrBegin();
      else {
        this.extra().step = "loads-inputs";
        loading.then(
          () => this.isFinal() || this.prepareOrBegin(),
          (error) => this.isFinal() || this.threw(error, false),
        );
      }
    }
  }

  private prepareOrBegin(): void {
    if (this.task.taskRunName !== undefined || this.task.cacheKeyFn !== undefined) void this.prepare();
    else this.beginAttempt();
  }

  /** What needs the inputs' values: the run's name, and a look into the cache. */
  private async prepare(): Promise<void> {
    try {
      this.extra().step = "loads-inputs";
      const loading = loadInputs(this);
      if (loading !== undefined) await loading;
      if (this.isFinal()) return;
      const { taskRunName } = this.task;
      if (taskRunName !== undefined) this.extra().name = nameOf(taskRunName, this.info());
    } catch (error) {
      return this.threw(error, false);
    }
    if (this.task.cacheKeyFn !== undefined) {
      const extra = this.extra();
      extra.step = "reads-cache";
      const onWait = () => {
        extra.step = "awaits-cached-result";
      };
      const hit = await this.keptResult().find(this.info(), this.interruption().signal, onWait);
      if (this.isFinal()) return this.extras?.kept?.abandon();
      if (hit !== undefined) return this.finish("COMPLETED", hit.value, "", "Cached");
    }
    this.beginAttempt();
  }

  /** Takes the slots that the run's tags need, and then executes. A run that is tried again takes them again. */
  private beginAttempt(): void {
    const limits = this.neededLimits();
    if (limits.length === 0) this.execute();
    else void this.executeInSlots(limits);
  }

  /** The tags of which the run needs slots. */
  private neededLimits(): readonly string[] {
    if (this.tags.length === 0) return this.tags;
    const { heldLimits, services } = this.scope.owner;
    return this.tags.filter((tag) => services.limiter.isLimited(tag) && !heldLimits.includes(tag));
  }

  private async executeInSlots(names: readonly string[]): Promise<void> {
    this.enter("PENDING", "AwaitingConcurrencySlot", `Waits for a slot of ${names.join(", ")}.`);
    const { limiter } = this.scope.owner.services;
    const { signal } = this.interruption();
    try {
      const request = { names, slots: 1, holder: this.taskRunId, isRate: false, signal };
      const slots = await limiter.acquire(request);
      if (this.isFinal()) return slots.release();
      this.extra().slots = slots;
      this.extra().limits = [...this.scope.owner.heldLimits, ...names];
    } catch (error) {
      if (!this.isFinal()) this.threw(error, false);
      return;
    }
    this.execute();
  }

  // ---- The loop --------------------------------------------------------------------------------------------------

  private execute(): void {
    if (this.extras !== undefined) this.extras.step = undefined;
    this.attempt++;
    this.enter("RUNNING", this.attempt > 1 ? "Retrying" : undefined);
    this.callHooks(this.task.onRunning);
    this.scope.session.submit(this);
  }

  /** The runner's report on the attempt; or that a foreseen call, which was cancelled on its way, does not go on. */
  settle(outcome: Outcome): void {
    if (this.attempt === 0) {
      this.finishUnstarted();
      return;
    }
    if (this.settledAttempt === this.attempt) return; // A second report of the same attempt: the first one won.
    this.settledAttempt = this.attempt;
    this.releaseSlots();
    if (outcome.type === "returned") this.returned(outcome.value);
    else if (this.isCancelled || outcome.type === "cancelled") this.finishCancelled();
    else if (outcome.type === "crashed") this.finish("CRASHED", outcome.error, outcome.error.message);
    else if (outcome.type === "timed-out") this.timedOut(outcome.error);
    else this.threw(outcome.error, outcome.retriable);
  }

  private returned(value: unknown): void {
    if (!(value instanceof State)) this.completed(value, "", undefined);
    else if (value.type === "COMPLETED") this.completed(value.data, value.message, value.name);
    else if (value.type === "FAILED") this.failed(value.data, value.message, value.name, true);
    else this.finish(value.type, value.data, value.message, value.name);
  }

  /** Keeps the value first, when it is to be kept: an equal call that is made afterwards must find it. */
  private completed(value: unknown, message: string, name: string | undefined): void {
    const { persistResult = this.scope.owner.services.persistResult } = this.task;
    if (!persistResult && this.extras?.kept === undefined) this.finish("COMPLETED", value, message, name);
    else {
      this.extra().step = "keeps-result";
      const kept = this.keptResult().keep(this.info(), value, persistResult);
      void kept.then(() => {
        if (!this.isFinal()) this.finish("COMPLETED", value, message, name);
      });
    }
  }

  private threw(error: unknown, retriable: boolean): void {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
    this.failed(error, `Task run encountered an exception: ${what}`, undefined, retriable);
  }

  private timedOut(error: Error): void {
    this.failed(error, error.message, "TimedOut", true);
  }

  private failed(error: unknown, message: string, name: string | undefined, retriable: boolean): void {
    const delayMs = retriable ? nextRetryDelayMs(this.task, this.attempt, Math.random) : undefined;
    const end = () => {
      taskRunLogger(this).error({ err: error }, "task run failed");
      this.finish("FAILED", error, message, name);
    };
    const { retryConditionFn } = this.task;
    if (delayMs === undefined) end();
    else if (retryConditionFn === undefined) this.retry(delayMs, error);
    else {
      const failed = new State("FAILED", { ...(name !== undefined && { name }), message, data: error });
      this.extra().step = "asks-retry";
      void this.isRetryWanted(retryConditionFn, failed).then((isWanted) => {
        if (this.isFinal()) return; // It was cancelled meanwhile.
        if (isWanted) this.retry(delayMs, error);
        else end();
      });
    }
  }

  private async isRetryWanted(condition: RetryCondition, failed: State): Promise<boolean> {
    try {
      await loadInputs(this);
      return Boolean(await condition(this.info(), failed));
    } catch (error) {
      taskRunLogger(this).error({ err: error }, "retryConditionFn failed, so the task is not tried again");
      return false;
    }
  }

  private retry(delayMs: number, error: unknown): void {
    taskRunLogger(this).warn({ err: error, delayMs }, "task run failed, will be tried again");
    if (delayMs === 0) this.beginAttempt();
    else {
      this.enter("SCHEDULED", "AwaitingRetry");
      this.extra().retryAt = Date.now() + delayMs;
      this.extra().retryTimer = setTimeout(() => this.beginAttempt(), delayMs);
    }
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  /** Ends the run early: at once when it waits, as soon as its runner has ended the attempt when it runs. */
  cancel(message: string): void {
    if (this.isFinal() || this.isCancelled) return;
    this.extra().cancelMessage = message;
    const isForeseen = this.attempt === 0 && this.ticket !== undefined;
    const isWithRunner = isForeseen || (this.type === "RUNNING" && this.settledAttempt < this.attempt);
    if (!isWithRunner || !this.scope.session.cancel(this)) this.finishCancelled();
  }

  private get isCancelled(): boolean {
    return this.extras?.cancelMessage !== undefined;
  }

  private finishUnstarted(): void {
    const message = this.extras?.notReadyMessage;
    if (message === undefined) this.finishCancelled();
    else this.finish("PENDING", undefined, message, "NotReady");
  }

  private finishCancelled(): void {
    const { cancelMessage = "The task run was cancelled.", interruption, retryTimer } = this.extras ?? {};
    clearTimeout(retryTimer);
    this.finish("CANCELLED", undefined, cancelMessage);
    interruption?.abort();
  }

  private finish(type: StateType, payload: unknown, message: string, name?: string): void {
    this.payload = payload;
    this.enter(type, name, message);
    if (type !== "COMPLETED") this.extras?.kept?.abandon();
    if (type === "COMPLETED" && name !== "Cached") this.callHooks(this.task.onCompletion);
    else if (type === "FAILED") this.callHooks(this.task.onFailure);
    if (this.hasInputs) releaseWhole(this.args);
    this.args = NO_ARGUMENTS;
    this.scope.tally.add(this.finalKind() ?? "failed", this.number, () => this.error());
    this.announce();
  }

  protected override leave(): void {
    this.scope.closed(this);
  }

  private releaseSlots(): void {
    if (this.extras?.slots === undefined) return;
    this.extras.slots.release();
    this.extras.slots = undefined;
    this.extras.limits = undefined;
  }

  // ---- What others learn -----------------------------------------------------------------------------------------

  /** Why it is not final, as this process sees it. Computed when somebody asks: nothing is noted for it on the usual way. */
  whyOpen(survey: CallSurvey): WhyOpen {
    const { waitingFor, upstream = [], extras } = this;
    if (this.type === "RUNNING" && this.settledAttempt < this.attempt)
      return survey.placeOf(this) ?? { type: "unknown" };
    if (waitingFor > 0) {
      const open = upstream.flatMap(({ futures }) => futures.filter(({ run }) => !run.isFinal()));
      if (open.length === 0) return { type: "unknown" }; // It was not told of their ends.
      return { type: "awaits-runs", taskRunIds: [...new Set(open.map(({ taskRunId }) => taskRunId))] };
    }
    if (this.type === "SCHEDULED" && extras?.retryAt !== undefined)
      return { type: "awaits-retry", until: extras.retryAt };
    if (this.stateName === "AwaitingConcurrencySlot")
      return { type: "awaits-slot", limits: this.neededLimits() };
    if (extras?.step === "awaits-cached-result") return { type: "awaits-cached-result" };
    return extras?.step === undefined ? { type: "unknown" } : { type: "prepares", step: extras.step };
  }

  protected override enter(type: StateType, name?: string, message?: string): void {
    super.enter(type, name, message);
    this.emit();
  }

  private emit(): void {
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

  private callHooks(hooks: readonly Hook<TaskRunInfo>[]): void {
    if (hooks.length === 0) return;
    const onError = (error: unknown) =>
      taskRunLogger(this).error({ err: error }, "a hook of the task failed");
    const [info, state] = [this.info(), this.state()];
    const call = () => callHooks(hooks, info, state, onError);
    const loading = [loadInputs(this), this.distant?.load()].filter((load) => load !== undefined);
    void this.scope.during(loading.length === 0 ? call() : Promise.allSettled(loading).then(call));
  }

  private info(): TaskRunInfo {
    return taskRunInfo(this);
  }

  private extra(): Extras {
    this.extras ??= {};
    return this.extras;
  }

  private keptResult(): KeptResult {
    const store = this.task.resultStore ?? this.scope.owner.services.resultStore;
    this.extra().kept ??= new KeptResult(this.task, store, () => taskRunLogger(this));
    return this.extras?.kept as KeptResult;
  }

  private interruption(): AbortController {
    this.extra().interruption ??= new AbortController();
    return this.extras?.interruption as AbortController;
  }
}

const NO_ARGUMENTS: readonly unknown[] = [];

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
