import { type Batch, type BatchCall, encodeError, type RawOutcome, toRaw } from "@millrace/broker";
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
import { ChunkValues } from "./chunk-values.ts";
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
  readonly #chunks: Batch[] = [];
  /** Of chunks in which calls wait for others. */
  readonly #values = new Map<Batch, ChunkValues>();
  /** How many calls of the first chunk have had their turn. */
  #turn = 0;
  /** Calls whose functions have not ended at once. */
  readonly #running = new Set<RunningCall>();
  /** Calls that ended before their turn. */
  readonly #dropped = new Set<BatchCall>();
  /** The call that has its turn and waits for others of its chunk. */
  #undecided: Pick<RunningCall, "batch" | "call"> | undefined;
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
  }

  /** Takes the calls of a batch, or of a part of it, behind those that it has. */
  accept(chunk: Batch): void {
    this.#chunks.push(chunk);
    const values = ChunkValues.of(chunk);
    if (values !== undefined) this.#values.set(chunk, values);
    if (!this.#isBusy) void this.#run();
  }

  /** Ends a call early: its outcome is `cancelled`, unless it has ended. */
  cancel(batchId: string, sequence: number): void {
    const isIt = ({ batch, call }: Pick<RunningCall, "batch" | "call">) =>
      call.sequence === sequence && batch.id === batchId;
    const running = this.#find(batchId, sequence);
    if (running !== undefined) running.attempt?.cancel("The task run was cancelled.");
    else if (this.#loading !== undefined && isIt(this.#loading)) this.#loading.drop();
    else {
      const waiting = [this.#undecided ?? [], ...this.#waitingIn(batchId)].flat().find(isIt);
      if (waiting !== undefined) this.#drop([waiting], CANCELLED);
    }
  }

  /** Ends calls of the batch that have not had their turn; when none has had it, one is kept. */
  handBack(batchId: string): void {
    const waiting = this.#waitingIn(batchId);
    const [next] = this.#chunks;
    const isUnbegun = this.#turn === 0 || next?.id !== batchId;
    this.#drop(isUnbegun ? waiting.slice(1) : waiting, UNSTARTED);
  }

  #waitingIn(batchId: string): Pick<RunningCall, "batch" | "call">[] {
    const { state } = this.#options;
    const waiting: Pick<RunningCall, "batch" | "call">[] = [];
    let number = state.started; // Of the next call to have its turn.
    for (const [index, batch] of this.#chunks.entries()) {
      for (const call of index === 0 ? batch.calls.slice(this.#turn) : batch.calls) {
        const isHere = !state.isClaimed(number++) && !this.#dropped.has(call);
        if (isHere && batch.id === batchId) waiting.push({ batch, call });
      }
    }
    return waiting;
  }

  #drop(calls: readonly Pick<RunningCall, "batch" | "call">[], outcome: RawOutcome): void {
    for (const { batch, call } of calls) {
      this.#dropped.add(call);
      this.#end({ batch, call }, outcome, 0);
    }
    this.flush();
  }

  answer(batchId: string, sequence: number, id: number, body: Uint8Array): void {
    const running = this.#find(batchId, sequence);
    if (running === undefined) return;
    this.#outbox.turnTo(batchId); // It goes on, and what is logged is its.
    running.answered(id, body);
  }

  /** Would a call start at once? */
  get hasRoom(): boolean {
    return this.#current === undefined && this.#loading === undefined && this.#chunks.length === 0;
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
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      this.#turn = 0;
      for (const call of chunk.calls) {
        if (this.#isClosed) return;
        this.#turn++;
        this.#outbox.turnTo(chunk.id);
        // Not awaited when it ended at once: a turn of the microtask queue per call is a tenth of its cost.
        const ended = this.#takeTurn(chunk, call);
        if (ended !== undefined) await ended;
        this.#outbox.flushUnlessJustNow();
      }
      this.flush();
      this.#chunks.shift();
      this.#values.delete(chunk);
    }
    this.#isBusy = false;
    this.#options.onRoom?.();
  }

  /** The call may start. Resolves when another may; returns undefined when it may at once. */
  #takeTurn(batch: Batch, call: BatchCall): Promise<void> | undefined {
    const { state } = this.#options;
    const number = state.start();
    // It was taken back: another thread has it. What it waits for may never end here.
    if (state.isClaimed(number)) return undefined;
    const values = this.#values.get(batch);
    if (values === undefined || values.isDecided(call)) return this.#execute(batch, call, number);
    this.flush();
    this.#undecided = { batch, call };
    return values.decided(call).then(() => {
      this.#undecided = undefined;
      return this.#execute(batch, call, number);
    });
  }

  #execute(batch: Batch, call: BatchCall, number: number): Promise<void> | undefined {
    if (!this.#options.state.claim(number)) return undefined; // Taken back while it waited.
    if (this.#dropped.size > 0 && this.#dropped.delete(call)) return undefined;
    const values = this.#values.get(batch);
    const inputs = values === undefined ? (call.inputs as readonly Uint8Array[]) : values.inputsOf(call);
    if (inputs === undefined) {
      this.#end({ batch, call }, UNSTARTED, 0);
      return undefined;
    }
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

  #end(
    { batch, call }: Pick<RunningCall, "batch" | "call">,
    outcome: RawOutcome,
    durationMicros: number,
  ): void {
    this.#outbox.ended(batch.id, call.sequence, outcome, durationMicros);
    this.#values.get(batch)?.ended(call.sequence, outcome);
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

function taskRunIdOf({ batch, call }: Pick<RunningCall, "batch" | "call">): string {
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
