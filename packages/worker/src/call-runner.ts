import {
  type Batch,
  type BatchCall,
  type CallRequest,
  type EncodedReport,
  encodeError,
  encodeReport,
  type RawOutcome,
  type Report,
  toRaw,
} from "@millrace/broker";
import type { Outcome } from "@millrace/core";
import {
  type AttemptInfo,
  decode,
  decodeWithInputs,
  runAttempt,
  type ScopeOwner,
  type TaskDefinition,
} from "@millrace/core/internal";
import type { ModuleLoader } from "./module-loader.ts";
import { RunningCall } from "./running-call.ts";
import type { ThreadState } from "./thread-state.ts";
import { TimeLimits } from "./time-limits.ts";

/** Outcomes wait at most this long for company, when another call can start meanwhile. */
const FLUSH_MS = 1;

export interface CallRunnerOptions {
  readonly loader: ModuleLoader;
  /** Of the worker: reports that ask something carry it. */
  readonly workerId: () => string;
  /** Gets what has ended, was asked and was logged. */
  readonly send: (report: EncodedReport) => void;
  /** Kept up to date, so that it is known which call ran should the thread die. */
  readonly state: ThreadState;
  /** Gives the log lines written since it was last asked. */
  readonly takeLogs: () => string;
  /** Another call would start at once. */
  readonly onRoom?: () => void;
  /** The function of this call, by its number, goes on though the call has ended early. */
  readonly onGoesOn: (call: number) => void;
  /** Now that function has ended. */
  readonly onEnded: (call: number) => void;
}

/**
 * Executes calls where it is: in a worker thread, or for the InlineExecutor on this event loop. One after the other,
 * but for those that wait for an answer, such as the result of a task that they have called: beside them others run.
 */
export class CallRunner {
  readonly #options: CallRunnerOptions;
  readonly #limits: TimeLimits;
  readonly #chunks: Batch[] = [];
  /** How many calls of the first chunk have had their turn. */
  #turn = 0;
  /** Calls whose functions have not ended at once. */
  readonly #running = new Set<RunningCall>();
  /** Calls that ended before their turn. */
  readonly #dropped = new Set<BatchCall>();
  /** The call whose module is being loaded. */
  #loading: RunningCall | undefined;
  /** The call that keeps others from starting. */
  #current: RunningCall | undefined;
  #isBusy = false;
  #isClosed = false;
  /** What the next report holds; all of it is of one batch. */
  #batchId = "";
  #ended: Report["outcomes"][number][] = [];
  #requests: CallRequest[] = [];
  #lastFlush = 0;

  constructor(options: CallRunnerOptions) {
    this.#options = options;
    this.#limits = new TimeLimits(options.state);
  }

  /** Takes the calls of a batch, or of a part of it, behind those that it has. */
  accept(chunk: Batch): void {
    this.#chunks.push(chunk);
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
      for (const [index, batch] of this.#chunks.entries()) {
        const waiting = index === 0 ? batch.calls.slice(this.#turn) : batch.calls;
        const call = waiting.find((call) => isIt({ batch, call }));
        if (call === undefined || this.#dropped.has(call)) continue;
        this.#dropped.add(call);
        this.#end({ batch, call }, CANCELLED, 0);
        this.flush();
        return;
      }
    }
  }

  answer(batchId: string, sequence: number, id: number, body: Uint8Array): void {
    const running = this.#find(batchId, sequence);
    if (running === undefined) return;
    this.#reportOn(batchId); // It goes on, and what is logged is its.
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
    if (call !== undefined) this.#reportOn(call.batch.id);
  }

  /** Starts no more calls. */
  close(): void {
    this.#isClosed = true;
  }

  /** Sends what there is now: called by the log, whose lines should not wait for the end of a long call. */
  flush(): void {
    const logs = this.#options.takeLogs();
    this.#lastFlush = performance.now();
    if (this.#ended.length === 0 && this.#requests.length === 0 && logs === "") return;
    const report: Report = {
      batchId: this.#batchId,
      outcomes: this.#ended,
      logs,
      requests: this.#requests,
      workerId: this.#requests.length === 0 ? "" : this.#options.workerId(),
    };
    this.#ended = [];
    this.#requests = [];
    this.#options.send({ report, bytes: encodeReport(report) });
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
        this.#reportOn(chunk.id);
        // Not awaited when it ended at once: a turn of the microtask queue per call is a tenth of its cost.
        const ended = this.#execute(chunk, call);
        if (ended !== undefined) await ended;
        // What has ended goes out before the next call starts, unless it did only just now.
        if (performance.now() - this.#lastFlush > FLUSH_MS) this.flush();
      }
      this.flush();
      this.#chunks.shift();
    }
    this.#isBusy = false;
    this.#options.onRoom?.();
  }

  /** Executes a call. Resolves when another may start; returns undefined when it may at once. */
  #execute(batch: Batch, call: BatchCall): Promise<void> | undefined {
    const number = this.#options.state.start();
    if (this.#dropped.size > 0 && this.#dropped.delete(call)) return undefined;
    const running = new RunningCall(batch, call, this.#request);
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
      args = decodeWithInputs(call.args, call.inputs.map(decode)) as readonly unknown[];
    } catch (error) {
      this.#end(running, { kind: "threw-for-good", payload: encodeError(error) }, 0);
      return undefined;
    }
    const startedAt = performance.now();
    const { timeoutSeconds } = batch.tasks[call.task]!;
    if (timeoutSeconds > 0) this.#limits.begin(number, timeoutSeconds);
    const info = infoOf(running, task, timeoutSeconds);
    const attempt = runAttempt(task, args, info, running);
    if ("type" in attempt) {
      this.#finish(running, number, attempt, startedAt);
      return undefined;
    }
    running.attempt = attempt;
    running.info = info;
    this.#running.add(running);
    this.#current = running;
    this.#options.state.setAwaiting(this.#running.size);
    this.flush(); // It awaits something: others need not wait with it.
    const ended = attempt.outcome.then((outcome) => {
      this.#running.delete(running);
      this.#options.state.setAwaiting(this.#running.size);
      this.#finish(running, number, outcome, startedAt);
      if (outcome.type !== "returned") void this.#watchFunction(number, attempt.functionEnded);
      // Nobody else would, if others run meanwhile, or none.
      if (this.#current !== running || !this.#isBusy) this.flush();
    });
    return Promise.race([ended, running.parked()]).then(() => {
      this.#current = undefined;
    });
  }

  #finish(running: RunningCall, number: number, outcome: Outcome, startedAt: number): void {
    this.#limits.end(number);
    const ownMs = performance.now() - startedAt - running.parkedMs;
    this.#end(running, toRaw(outcome), Math.max(0, Math.round(ownMs * 1000)));
  }

  #end(
    { batch, call }: Pick<RunningCall, "batch" | "call">,
    { kind, payload }: RawOutcome,
    durationMicros: number,
  ): void {
    this.#reportOn(batch.id);
    this.#ended.push({ sequence: call.sequence, kind, durationMicros, payload });
  }

  /** At the end of the turn, so that the calls of a loop of submits go up together. */
  readonly #request = ({ batch, call }: RunningCall, id: number, body: Uint8Array): void => {
    this.#reportOn(batch.id);
    if (this.#requests.length === 0) setImmediate(() => this.flush());
    this.#requests.push({ sequence: call.sequence, id, body });
  };

  /** From now on the next report is of this batch; what has gathered of another goes out first. */
  #reportOn(batchId: string): void {
    if (this.#batchId === batchId) return;
    this.flush();
    this.#batchId = batchId;
  }

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
