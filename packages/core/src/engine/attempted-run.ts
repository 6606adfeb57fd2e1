import { nextRetryDelayMs } from "../definitions/retry.ts";
import type { RetryCondition } from "../definitions/task-definition.ts";
import { BrokerUnavailableError } from "../errors/errors.ts";
import { describeThrown } from "../errors/shown-value.ts";
import { State, type StateType } from "../futures/state.ts";
import { taskRunLogger } from "../logger.ts";
import type { Outcome } from "../runners/task-runner.ts";
import { loadInputs, releaseWhole } from "./inputs.ts";
import { TaskRunRecord } from "./task-run-record.ts";
import type { CallSurvey, WhyOpen } from "./why-open.ts";

/**
 * A task run from the moment when nothing upstream keeps it: it waits for a slot, is executed, its outcome is looked at,
 * it is tried again perhaps, and ends. The loop runs where the task is called; only the attempts happen elsewhere.
 */
export abstract class AttemptedRun extends TaskRunRecord {
  /** Takes the slots that the run's tags need, and then executes. A run that is tried again takes them again. */
  protected beginAttempt(): void {
    const limits = this.neededLimits();
    if (limits.length === 0) this.execute();
    else void this.executeInSlots(limits);
  }

  /** The tags of which the run needs slots. */
  protected neededLimits(): readonly string[] {
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
      if (!this.isFinal()) this.gotNoSlot(error);
      return;
    }
    this.execute();
  }

  /** Where a limit cannot be kept for want of a broker, that is not the task's fault, as it is not where a call cannot be sent. */
  private gotNoSlot(error: unknown): void {
    if (error instanceof BrokerUnavailableError) this.finish("CRASHED", error, error.message);
    else this.threw(error, false);
  }

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

  protected threw(error: unknown, retriable: boolean): void {
    this.failed(error, `Task run encountered an exception: ${describeThrown(error)}`, undefined, retriable);
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

  /** Is the attempt with the runner, which will report on it? */
  private isWithRunner(): boolean {
    return this.type === "RUNNING" && this.settledAttempt < this.attempt;
  }

  /** Why it is not final, as this process sees it. Computed when somebody asks: nothing is noted for it on the usual way. */
  whyOpen(survey: CallSurvey): WhyOpen {
    const { extras } = this;
    if (this.isWithRunner()) return survey.placeOf(this) ?? { type: "unknown" };
    if (this.type === "SCHEDULED" && extras?.retryAt !== undefined)
      return { type: "awaits-retry", until: extras.retryAt };
    if (this.stateName === "AwaitingConcurrencySlot")
      return { type: "awaits-slot", limits: this.neededLimits() };
    if (extras?.step === "awaits-cached-result") return { type: "awaits-cached-result" };
    return extras?.step === undefined ? { type: "unknown" } : { type: "prepares", step: extras.step };
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  /** Ends the run early: at once when it waits, as soon as its runner has ended the attempt when it runs. */
  cancel(message: string): void {
    if (this.isFinal() || this.isCancelled) return;
    this.extra().cancelMessage = message;
    const isForeseen = this.attempt === 0 && this.ticket !== undefined;
    const hasRunner = isForeseen || this.isWithRunner();
    if (!hasRunner || !this.scope.session.cancel(this)) this.finishCancelled();
  }

  protected get isCancelled(): boolean {
    return this.extras?.cancelMessage !== undefined;
  }

  protected finishUnstarted(): void {
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

  protected finish(type: StateType, payload: unknown, message: string, name?: string): void {
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

  private releaseSlots(): void {
    if (this.extras?.slots === undefined) return;
    this.extras.slots.release();
    this.extras.slots = undefined;
    this.extras.limits = undefined;
  }
}

const NO_ARGUMENTS: readonly unknown[] = [];
