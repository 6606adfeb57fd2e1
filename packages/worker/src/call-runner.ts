import { type Batch, type CallAnswer, encodeError, type RawOutcome, toRaw } from "@millrace/broker";
import type { Outcome } from "@millrace/core";
import {
  type AttemptInfo,
  decode,
  decodeWithInputs,
  runAttempt,
  type ScopeOwner,
  type TaskDefinition,
} from "@millrace/core/internal";
import { BusyClock } from "./busy-clock.ts";
import { type CallOfBatch, CallQueue, type Turn } from "./call-queue.ts";
import { IdleWatch } from "./idle-watch.ts";
import type { ModuleLoader } from "./module-loader.ts";
import { Outbox, type OutboxOptions } from "./outbox.ts";
import { RunningCall } from "./running-call.ts";
import { Signal } from "./signal.ts";
import type { ThreadState } from "./thread-state.ts";
import { TimeLimits } from "./time-limits.ts";
import { WaitingTasks } from "./waiting-tasks.ts";

export interface CallRunnerOptions extends OutboxOptions {
  readonly loader: ModuleLoader;
  /** How many calls may be under way at once, as long as the event loop is idle: those that wait for answers not counted. */
  readonly mostCalls: number;
  /** Kept up to date, so that it is known which call ran should the thread die. */
  readonly state: ThreadState;
  /** Another call would start at once. */
  readonly onRoom?: () => void;
  /** Calls that were taken back have been passed over, and none is left. */
  readonly onPassedOver: () => void;
  /** The call with this number is put off until others, which it waits for, have ended. */
  readonly onDeferred: (call: number) => void;
  /** The function of this call, by its number, goes on though the call has ended early. */
  readonly onGoesOn: (call: number) => void;
  /** Now that function has ended. */
  readonly onEnded: (call: number) => void;
}

/**
 * Executes calls where it is: in a worker thread, or for the InlineExecutor on this event loop. One after the other,
 * but for those that wait, for an answer such as the result of a task that they have called, or for anything else that
 * leaves the event loop idle: beside them others run.
 */
export class CallRunner {
  readonly #options: CallRunnerOptions;
  readonly #limits: TimeLimits;
  readonly #outbox: Outbox;
  readonly #clock = new BusyClock();
  readonly #idleWatch = new IdleWatch();
  readonly #waitingTasks = new WaitingTasks<TaskDefinition>();
  readonly #queue: CallQueue;
  /** Calls whose functions have not ended at once. */
  readonly #running = new Set<RunningCall>();
  /** The call whose module is being loaded. */
  #loading: RunningCall | undefined;
  /** The call that keeps others from starting. */
  #current: RunningCall | undefined;
  #isBusy = false;
  #isClosed = false;
  /** A call that was under way has ended, or waits for an answer. */
  readonly #fewer = new Signal();

  constructor(options: CallRunnerOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options);
    this.#limits = new TimeLimits(options.state);
    this.#queue = new CallQueue(options.state, options.onDeferred);
  }

  /** Takes the calls of a batch, or of a part of it, behind those that it has. */
  accept(chunk: Batch): void {
    this.#queue.accept(chunk);
    this.#runUnlessBusy();
  }

  /** Ends a call early: its outcome is `cancelled`, unless it has ended. */
  cancel(batchId: string, sequence: number): void {
    const isIt = ({ batch, call }: CallOfBatch) => call.sequence === sequence && batch.id === batchId;
    const running = this.#find(batchId, sequence);
    if (running !== undefined) running.attempt?.cancel("The task run was cancelled.");
    else if (this.#loading !== undefined && isIt(this.#loading)) this.#loading.drop();
    else this.#drop(this.#queue.waitingIn(batchId).filter(isIt), CANCELLED);
  }

  /** Ends calls of the batch that have not had their turn; when none has had it, one is kept. */
  handBack(batchId: string): void {
    const waiting = this.#queue.waitingIn(batchId);
    this.#drop(this.#queue.hasBegun(batchId) ? waiting : waiting.slice(1), UNSTARTED);
  }

  #drop(calls: readonly CallOfBatch[], outcome: RawOutcome): void {
    for (const one of calls) {
      this.#queue.drop(one);
      this.#end(one, outcome, 0);
    }
    this.flush();
    this.#runUnlessBusy();
  }

  answer(answer: CallAnswer): void {
    const { batchId, sequence } = answer;
    const running = this.#find(batchId, sequence);
    if (running === undefined) return;
    this.#outbox.turnTo(batchId); // It goes on, and what is logged is its.
    running.answered(answer);
  }

  /** Would a call start at once? */
  get hasRoom(): boolean {
    return this.#current === undefined && this.#loading === undefined && this.#queue.isEmpty;
  }

  /** The call that the context is part of, when it awaits something. */
  callOf(context: ScopeOwner): RunningCall | undefined {
    for (const running of this.#running)
      if (running.info !== undefined && context.isWithin(running.info)) return running;
    return undefined;
  }

  /** Says who logs the next line, so that it goes to that call's flow. */
  logs(context: ScopeOwner | undefined): void {
    if (context === undefined || this.#running.size === 0) return;
    const call = this.callOf(context);
    if (call !== undefined) this.#outbox.turnTo(call.batch.id);
  }

  /** Starts no more calls. */
  close(): void {
    this.#isClosed = true;
  }

  /** Sends what there is now: called by the log, whose lines should not wait for the end of a long call. */
  flush(): void {
    this.#outbox.flush();
  }

  /**
   * Ends a call with an error that it left floating: a rejection that nobody handled, an exception in a callback.
   * Without effect on one that has ended.
   */
  fail(taskRunId: string, error: unknown): void {
    for (const call of this.#running) if (taskRunIdOf(call) === taskRunId) call.attempt?.fail(error);
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    for (let turn = this.#queue.next(); turn !== undefined; turn = this.#queue.next()) {
      if (this.#isClosed) return; // And stays busy.
      this.#outbox.turnTo(turn.batch.id);
      // Not awaited when it ended at once: a turn of the microtask queue per call is a tenth of its cost.
      const ended = this.#execute(turn);
      if (ended !== undefined) await ended;
      this.#outbox.flushUnlessJustNow();
    }
    this.flush();
    this.#isBusy = false;
    if (this.#queue.hasPassedOver()) this.#options.onPassedOver();
    this.#options.onRoom?.();
  }

  /** Calls have come, or one has ended for which others were put off. */
  #runUnlessBusy(): void {
    if (!this.#isBusy) void this.#run();
  }

  /** Resolves when another call may start; returns undefined when it may at once. */
  #execute({ batch, call, number, inputs }: Turn): Promise<void> | undefined {
    if (inputs === undefined) {
      this.#end({ batch, call }, UNSTARTED, 0);
      return undefined;
    }
    this.#options.state.begin(number);
    const running = new RunningCall(batch, call, inputs, this.#request);
    const task = this.#options.loader.known(batch.tasks[call.task]!);
    return task === undefined
      ? this.#loadAndExecute(running, number)
      : this.#executeTask(task, running, number);
  }

  async #loadAndExecute(running: RunningCall, number: number): Promise<void> {
    const { batch, call } = running;
    let task: TaskDefinition | undefined;
    this.#loading = running;
    try {
      // An import may have no end: a call that is cancelled does not wait for it.
      task = await Promise.race([this.#options.loader.find(batch.tasks[call.task]!), running.dropped]);
    } catch (error) {
      this.#end(running, { kind: "threw-for-good", payload: encodeError(error) }, 0);
      return;
    } finally {
      this.#loading = undefined;
    }
    this.flush(); // Loading took long; what the module logged should not be blamed on the call.
    if (task === undefined) this.#end(running, CANCELLED, 0);
    else await this.#executeTask(task, running, number);
  }

  #executeTask(task: TaskDefinition, running: RunningCall, number: number): Promise<void> | undefined {
    const { batch, call } = running;
    let args: readonly unknown[];
    try {
      args = decodeWithInputs(call.args, running.inputs.map(decode)) as readonly unknown[];
    } catch (error) {
      this.#end(running, { kind: "threw-for-good", payload: encodeError(error) }, 0);
      return undefined;
    }
    const startedAt = performance.now();
    const { timeoutSeconds } = batch.tasks[call.task]!;
    if (timeoutSeconds > 0) this.#limits.begin(number, timeoutSeconds);
    const info = infoOf(running, task, timeoutSeconds);
    const attempt = runAttempt(task, args, info, running);
    const aloneMs = performance.now() - startedAt;
    this.#clock.alone(aloneMs);
    if ("type" in attempt) {
      this.#finish(running, number, attempt, aloneMs);
      return undefined;
    }
    running.attempt = attempt;
    running.info = info;
    this.#running.add(running);
    this.#current = running;
    this.#options.state.setAwaiting(this.#running.size);
    this.flush(); // It awaits something: others need not wait with it.
    const begunAt = this.#clock.begin();
    const ended = attempt.outcome.then((outcome) => {
      this.#running.delete(running);
      this.#options.state.setAwaiting(this.#running.size);
      const busyMs = aloneMs + this.#clock.end(begunAt);
      this.#waitingTasks.observe(task, performance.now() - startedAt, busyMs);
      this.#finish(running, number, outcome, busyMs);
      if (outcome.type !== "returned") void this.#watchFunction(number, attempt.functionEnded);
      // Nobody else would, if others run meanwhile, or none.
      if (this.#current !== running || !this.#isBusy) this.flush();
      this.#fewer.fire();
      this.#runUnlessBusy();
    });
    return Promise.race([ended, running.parked(), this.#waits(running, task)]).then(() => {
      this.#idleWatch.stop();
      this.#current = undefined;
    });
  }

  /** Resolves when the call, which awaits something, leaves room for another beside it. */
  async #waits(running: RunningCall, task: TaskDefinition): Promise<void> {
    if (this.#waitingTasks.has(task)) await new Promise(setImmediate);
    else await new Promise<void>((resolve) => this.#idleWatch.watch(resolve));
    while (this.#isFull) await this.#fewer.wait();
    if (this.#running.has(running)) this.#outbox.parked(running.batch.id, running.call.sequence);
  }

  get #isFull(): boolean {
    const { mostCalls } = this.#options;
    if (this.#running.size < mostCalls) return false;
    let underWay = 0;
    for (const running of this.#running) if (!running.isParked) underWay++;
    return underWay >= mostCalls;
  }

  #finish(running: RunningCall, number: number, outcome: Outcome, busyMs: number): void {
    this.#limits.end(number);
    this.#end(running, toRaw(outcome), Math.max(0, Math.round(busyMs * 1000)));
  }

  #end(ended: CallOfBatch, outcome: RawOutcome, durationMicros: number): void {
    this.#outbox.ended(ended.batch.id, ended.call.sequence, outcome, durationMicros);
    this.#queue.ended(ended, outcome);
  }

  readonly #request = ({ batch, call }: RunningCall, id: number, body: Uint8Array): void => {
    this.#outbox.ask(batch.id, { sequence: call.sequence, id, body });
    this.#fewer.fire();
  };

  /** The outcome of an attempt that was interrupted may be there before the end of its function. */
  async #watchFunction(call: number, functionEnded: Promise<void>): Promise<void> {
    let hasEnded = false;
    const ended = functionEnded.then(() => {
      hasEnded = true;
    });
    // A function that heeds its signal has ended after a turn or two.
    await new Promise(setImmediate);
    if (hasEnded) return;
    this.#options.onGoesOn(call);
    await ended;
    this.#options.onEnded(call);
  }

  #find(batchId: string, sequence: number): RunningCall | undefined {
    for (const running of this.#running)
      if (running.call.sequence === sequence && running.batch.id === batchId) return running;
    return undefined;
  }
}

const CANCELLED: RawOutcome = { kind: "cancelled", payload: new Uint8Array() };
const UNSTARTED: RawOutcome = { kind: "unstarted", payload: new Uint8Array() };

function taskRunIdOf({ batch, call }: CallOfBatch): string {
  return `${batch.contexts[call.context]!.scopeId}-${call.number}`;
}

function infoOf(running: RunningCall, task: TaskDefinition, timeoutSeconds: number): AttemptInfo {
  const { call, context } = running;
  const { flowRunId, flowName, flowRunName, tags, logConsole, heldLimits } = context;
  return {
    flowRunId,
    flowName,
    flowRunName,
    taskRunId: taskRunIdOf(running),
    taskRunName: call.name || `${task.name}-${call.number}`,
    attempt: call.attempt,
    tags,
    logConsole: logConsole || task.logConsole,
    timeoutSeconds: timeoutSeconds || undefined,
    heldLimits,
  };
}
