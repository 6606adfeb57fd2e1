import { EncodedValue } from "./codec.ts";
import type { Dependencies } from "./dependencies.ts";
import { describe, UnfinishedRunError } from "./errors.ts";
import type { TaskFuture } from "./future.ts";
import { callHooks, type Hook, type TaskRunInfo } from "./hooks.ts";
import { taskRunLogger } from "./logger.ts";
import { nextRetryDelayMs } from "./retry.ts";
import { runError } from "./run-error.ts";
import type { RunScope } from "./run-scope.ts";
import { State, type StateType } from "./state.ts";
import type { RetryCondition, TaskDefinition } from "./task-definition.ts";
import type { Call, Outcome } from "./task-runner.ts";

/** Told once when a run is final. */
interface FinalListener {
  runIsFinal(): void;
}

/**
 * One task run, and the loop that takes it through its states: wait for inputs, execute, look at the outcome, perhaps
 * again, finish. The loop runs where the task is called; only the attempts happen elsewhere.
 *
 * A million of these exist at once, so the record is compact: a number instead of a UUID, no promise until somebody
 * waits, no State until somebody looks. (A plain engine with a UUID, a promise and three states per run took 8 to
 * 12 µs and 2.3 KB a task; a compact one 1.2 to 1.7 µs and 0.7 KB.)
 */
export class TaskRun implements Call, FinalListener {
  readonly task: TaskDefinition;
  readonly args: readonly unknown[];
  readonly scope: RunScope;
  readonly tags: readonly string[];
  readonly number: number;
  attempt = 0;
  private settledAttempt = 0;
  hasInputs = false;
  private upstream: readonly Dependencies[] | undefined;
  private waitingFor = 0;
  private type: StateType = "PENDING";
  private stateName: string | undefined;
  private message = "";
  private timestamp = Date.now();
  /** The value, perhaps still encoded, of a completed run; the error of one that failed. */
  private payload: unknown;
  private listeners: FinalListener[] | undefined;

  constructor(task: TaskDefinition, args: readonly unknown[], scope: RunScope, tags: readonly string[]) {
    this.task = task;
    this.args = args;
    this.scope = scope;
    this.tags = tags;
    this.number = scope.opened();
  }

  get taskRunId(): string {
    return `${this.scope.id}-${this.number}`;
  }

  get flowRunId(): string {
    return this.scope.flowRunId;
  }

  get flowName(): string {
    return this.scope.flowName;
  }

  get logConsole(): boolean {
    return this.scope.logConsole || this.task.logConsole;
  }

  // ---- The loop --------------------------------------------------------------------------------------------------

  /** Starts the run: at once, or when everything upstream is final. */
  start(inputs: Dependencies | undefined, waitFor: Dependencies | undefined): void {
    this.hasInputs = inputs !== undefined;
    if (inputs !== undefined || waitFor !== undefined) {
      this.upstream = [inputs, waitFor].filter((dependencies) => dependencies !== undefined);
      for (const { futures } of this.upstream) {
        for (const { run } of futures) {
          if (run.isFinal()) continue;
          this.waitingFor++;
          run.onFinal(this);
        }
      }
    }
    if (this.waitingFor === 0) this.upstreamIsFinal();
  }

  /** One of the runs upstream is final. */
  runIsFinal(): void {
    this.waitingFor--;
    if (this.waitingFor === 0) this.upstreamIsFinal();
  }

  private upstreamIsFinal(): void {
    const missing = this.upstream?.flatMap(missingIn)[0];
    this.upstream = undefined;
    if (missing === undefined) this.execute();
    else {
      const message = `Upstream task run '${missing.taskRunId}' did not reach a 'COMPLETED' state.`;
      this.finish("PENDING", undefined, message, "NotReady");
    }
  }

  private execute(): void {
    this.attempt++;
    this.enter("RUNNING", this.attempt > 1 ? "Retrying" : undefined);
    this.callHooks(this.task.onRunning);
    this.scope.session.submit(this);
  }

  /** The runner's report on the attempt. */
  settle(outcome: Outcome): void {
    if (this.settledAttempt === this.attempt) return; // A second report of the same attempt: the first one won.
    this.settledAttempt = this.attempt;
    if (outcome.type === "returned") this.returned(outcome.value);
    else if (outcome.type === "crashed") this.finish("CRASHED", outcome.error, outcome.error.message);
    else this.threw(outcome.error, outcome.retriable);
  }

  private returned(value: unknown): void {
    if (!(value instanceof State)) this.finish("COMPLETED", value, "");
    else if (value.type === "FAILED") this.failed(value.data, value.message, value.name, true);
    else this.finish(value.type, value.data, value.message, value.name);
  }

  private threw(error: unknown, retriable: boolean): void {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
    this.failed(error, `Task run encountered an exception: ${what}`, undefined, retriable);
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
      void this.isRetryWanted(retryConditionFn, failed).then((isWanted) =>
        isWanted ? this.retry(delayMs, error) : end(),
      );
    }
  }

  private async isRetryWanted(condition: RetryCondition, failed: State): Promise<boolean> {
    try {
      return Boolean(await condition(this.info(), failed));
    } catch (error) {
      taskRunLogger(this).error({ err: error }, "retryConditionFn failed, so the task is not tried again");
      return false;
    }
  }

  private retry(delayMs: number, error: unknown): void {
    taskRunLogger(this).warn({ err: error, delayMs }, "task run failed, will be tried again");
    if (delayMs === 0) this.execute();
    else {
      this.enter("SCHEDULED", "AwaitingRetry");
      setTimeout(() => this.execute(), delayMs);
    }
  }

  private callHooks(hooks: readonly Hook<TaskRunInfo>[]): void {
    if (hooks.length === 0) return;
    const onError = (error: unknown) =>
      taskRunLogger(this).error({ err: error }, "a hook of the task failed");
    void this.scope.during(callHooks(hooks, this.info(), this.state(), onError));
  }

  private info(): TaskRunInfo {
    const { taskRunId, flowRunId, flowName, attempt, tags } = this;
    return { taskRunId, taskName: this.task.name, flowRunId, flowName, attempt, tags };
  }

  private enter(type: StateType, name?: string): void {
    this.type = type;
    this.stateName = name;
    this.timestamp = Math.max(this.timestamp, Date.now());
  }

  private finish(type: StateType, payload: unknown, message: string, name?: string): void {
    this.enter(type, name);
    this.payload = payload;
    this.message = message;
    if (type === "COMPLETED") this.callHooks(this.task.onCompletion);
    else if (type === "FAILED") this.callHooks(this.task.onFailure);
    this.scope.tally.add(this.kind(), this.number, () => this.error());
    announceFinal(this);
  }

  private kind(): "completed" | "cancelled" | "failed" | "notReady" {
    if (this.type === "COMPLETED") return "completed";
    if (this.type === "CANCELLED") return "cancelled";
    return this.type === "PENDING" ? "notReady" : "failed";
  }

  // ---- What a future shows ---------------------------------------------------------------------------------------

  isFinal(): boolean {
    return (
      this.type !== "RUNNING" &&
      this.type !== "SCHEDULED" &&
      (this.type !== "PENDING" || this.stateName === "NotReady")
    );
  }

  state(): State {
    return new State(this.type, {
      ...(this.stateName !== undefined && { name: this.stateName }),
      message: this.message,
      data: this.type === "COMPLETED" ? this.valueOrError() : this.payload,
      timestamp: this.timestamp,
      runId: this.taskRunId,
    });
  }

  /** What a call that depends on this run gets for it: the value, or the error of a failure that it allows. */
  input(): unknown {
    return this.type === "COMPLETED" ? this.value() : this.error();
  }

  /** The same as it came, perhaps encoded: for a runner that passes it on. */
  rawInput(): unknown {
    return this.type === "COMPLETED" ? this.payload : this.error();
  }

  /** Does the run let another start that needs it? */
  lets(isFailureAllowed: boolean): boolean {
    return this.type === "COMPLETED" || (isFailureAllowed && this.type === "FAILED");
  }

  /** The value of a completed run. @throws DecodeError when its bytes hold a type that is not registered here */
  value(): unknown {
    return this.payload instanceof EncodedValue ? this.payload.value() : this.payload;
  }

  /** For a state, which somebody may look at while many runs are told that one is final: this must not throw. */
  private valueOrError(): unknown {
    try {
      return this.value();
    } catch (error) {
      return error;
    }
  }

  onFinal(listener: FinalListener): void {
    if (this.listeners === undefined) this.listeners = [listener];
    else this.listeners.push(listener);
  }

  result(): Promise<unknown> {
    const result = new Promise((resolve, reject) => {
      const settle = () => {
        if (this.type !== "COMPLETED") return reject(this.error());
        try {
          resolve(this.value());
        } catch (error) {
          reject(error);
        }
      };
      if (this.isFinal()) settle();
      else this.onFinal({ runIsFinal: settle });
    });
    result.catch(ignore); // Nobody need await it: the failure counts in the flow's state.
    return result;
  }

  wait(timeoutSeconds?: number): Promise<State | undefined> {
    if (this.isFinal()) return Promise.resolve(this.state());
    return new Promise((resolve) => {
      const timer =
        timeoutSeconds === undefined
          ? undefined
          : setTimeout(() => resolve(undefined), timeoutSeconds * 1000);
      this.onFinal({
        runIsFinal: () => {
          clearTimeout(timer);
          resolve(this.state());
        },
      });
    });
  }

  /** What to throw at whoever asks for the value of a run that has none. */
  error(): unknown {
    if (this.type === "PENDING")
      return new UnfinishedRunError(this.taskRunId, this.stateName ?? "", this.message);
    return runError(this.type, this.payload, this.message, `Task run ${this.taskRunId}`);
  }

  /** Called by `announceFinal` alone. */
  tellListeners(): void {
    const { listeners } = this;
    this.listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener.runIsFinal();
    this.scope.closed();
  }
}

/** The futures that keep a run from starting, now that they are final. */
function missingIn({ futures, tolerated }: Dependencies): TaskFuture<unknown>[] {
  return futures.filter((future) => !future.run.lets(tolerated.has(future)));
}

function ignore(): void {}

/**
 * Tells those that wait for a run. A list and not recursion: a failure at the head of a chain makes every run behind
 * it NotReady, and a chain of 100,000 would overflow the stack.
 */
const announcing: TaskRun[] = [];
let isAnnouncing = false;

function announceFinal(run: TaskRun): void {
  announcing.push(run);
  if (isAnnouncing) return;
  isAnnouncing = true;
  try {
    for (let next = announcing.pop(); next !== undefined; next = announcing.pop()) next.tellListeners();
  } finally {
    isAnnouncing = false;
  }
}
