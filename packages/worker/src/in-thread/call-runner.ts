import { type Batch, type CallAnswer, encodeError, type RawOutcome, toRaw } from "@millrace/broker";
import { decode, decodeWithInputs, type ScopeOwner, type TaskDefinition } from "@millrace/core/internal";
import { CallAttempts } from "./call-attempts.ts";
import { type CallOfBatch, CallQueue, type Turn } from "./call-queue.ts";
import type { ModuleLoader } from "./module-loader.ts";
import { Outbox, type OutboxOptions } from "./outbox.ts";
import { RoomWatch } from "./room-watch.ts";
import { RunningCall, type SendRequest } from "./running-call.ts";
import { RunningCalls } from "./running-calls.ts";
import type { ThreadState } from "./thread-state.ts";

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
  readonly #outbox: Outbox;
  readonly #queue: CallQueue;
  readonly #running: RunningCalls;
  readonly #room: RoomWatch;
  readonly #attempts: CallAttempts;
  /** The call whose module is being loaded. */
  #loading: RunningCall | undefined;
  #isBusy = false;
  #isClosed = false;

  constructor(options: CallRunnerOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options);
    this.#queue = new CallQueue(options.state, options.onDeferred);
    this.#running = new RunningCalls(options.state);
    this.#room = new RoomWatch(options.mostCalls, this.#running, this.#outbox);
    this.#attempts = new CallAttempts({
      state: options.state,
      running: this.#running,
      room: this.#room,
      outbox: this.#outbox,
      onOutcome: (call, outcome, busyMs) =>
        this.#end(call, toRaw(outcome), Math.max(1, Math.round(busyMs * 1000))),
      onLateEnd: (wasCurrent) => this.#onLateEnd(wasCurrent),
      onGoesOn: options.onGoesOn,
      onFunctionEnded: options.onEnded,
    });
  }

  /** Takes the calls of a batch, or of a part of it, behind those that it has. */
  accept(chunk: Batch): void {
    this.#queue.accept(chunk);
    this.#runUnlessBusy();
  }

  /** Ends a call early: its outcome is `cancelled`, unless it has ended. */
  cancel(batchId: string, sequence: number): void {
    const isIt = ({ batch, call }: CallOfBatch) => call.sequence === sequence && batch.id === batchId;
    const running = this.#running.find(batchId, sequence);
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
    const running = this.#running.find(batchId, sequence);
    if (running === undefined) return;
    this.#outbox.turnTo(batchId); // It goes on, and what is logged is its.
    running.answered(answer);
  }

  /** Would a call start at once? */
  get hasRoom(): boolean {
    return !this.#attempts.hasCurrent && this.#loading === undefined && this.#queue.isEmpty;
  }

  /** The call that the context is part of, when it awaits something. */
  callOf(context: ScopeOwner): RunningCall | undefined {
    return this.#running.callOf(context);
  }

  /** Says who logs the next line, so that it goes to that call's flow. */
  logs(context: ScopeOwner | undefined): void {
    if (context === undefined || this.#running.isEmpty) return;
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
    this.#running.fail(taskRunId, error);
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
    const startedAt = performance.now();
    let args: readonly unknown[];
    try {
      args = decodeWithInputs(running.call.args, running.inputs.map(decode)) as readonly unknown[];
    } catch (error) {
      this.#end(running, { kind: "threw-for-good", payload: encodeError(error) }, 0);
      return undefined;
    }
    return this.#attempts.run(task, args, running, number, startedAt);
  }

  #onLateEnd(wasCurrent: boolean): void {
    // Nobody else would, if others run meanwhile, or none.
    if (!wasCurrent || !this.#isBusy) this.flush();
    this.#room.fewer();
    this.#runUnlessBusy();
  }

  #end(ended: CallOfBatch, outcome: RawOutcome, durationMicros: number): void {
    this.#outbox.ended(ended.batch.id, ended.call.sequence, outcome, durationMicros);
    this.#queue.ended(ended, outcome);
  }

  readonly #request: SendRequest = ({ batch, call: { sequence } }, asked) => {
    this.#outbox.ask(batch.id, { sequence, ...asked });
    this.#room.fewer();
  };
}

const CANCELLED: RawOutcome = { kind: "cancelled", payload: new Uint8Array() };
const UNSTARTED: RawOutcome = { kind: "unstarted", payload: new Uint8Array() };
