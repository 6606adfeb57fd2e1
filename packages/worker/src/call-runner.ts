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
  type TaskDefinition,
} from "@millrace/core/internal";
import type { ModuleLoader } from "./module-loader.ts";
import { RunningCall } from "./running-call.ts";
import { KILL_GRACE_MS } from "./thread-protocol.ts";
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
  /** A function goes on, though its call has ended some time ago. */
  readonly onLeak: () => void;
}

/**
 * Executes calls where it is: in a worker thread, or for the InlineExecutor on this event loop. One after the other,
 * but for those that wait for an answer, such as the result of a task that they have called: beside them others run.
 */
export class CallRunner {
  readonly #options: CallRunnerOptions;
  readonly #limits: TimeLimits;
  readonly #chunks: Batch[] = [];
  /** Calls whose functions have not ended at once. */
  readonly #running = new Set<RunningCall>();
  /** Calls that are to end before they start: batch id and sequence. */
  readonly #dropped = new Set<string>();
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
    const running = this.#find(batchId, sequence);
    if (running?.attempt !== undefined) running.attempt.cancel("The task run was cancelled.");
    else this.#dropped.add(`${batchId} ${sequence}`);
  }

  answer(batchId: string, sequence: number, id: number, body: Uint8Array): void {
    this.#find(batchId, sequence)?.answered(id, body);
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
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) {
      this.#reportOn(chunk.id);
      for (const call of chunk.calls) {
        if (this.#isClosed) return;
        // Not awaited when it ended at once: a turn of the microtask queue per call is a tenth of its cost.
        const ended = this.#execute(chunk, call);
        if (ended !== undefined) await ended;
        // What has ended goes out before the next call starts, unless it did only just now.
        if (performance.now() - this.#lastFlush > FLUSH_MS) this.flush();
      }
      this.flush();
    }
    this.#isBusy = false;
    if (this.#running.size === 0) this.#dropped.clear();
  }

  /** Executes a call. Resolves when another may start; returns undefined when it may at once. */
  #execute(batch: Batch, call: BatchCall): Promise<void> | undefined {
    const number = this.#options.state.start();
    const running = new RunningCall(batch, call, this.#request);
    if (this.#isDropped(running)) {
      this.#end(running, { kind: "cancelled", payload: NOTHING }, 0);
      return undefined;
    }
    const task = this.#options.loader.known(batch.tasks[call.task]!);
    return task === undefined
      ? this.#loadAndExecute(running, number)
      : this.#executeTask(task, running, number);
  }

  async #loadAndExecute(running: RunningCall, number: number): Promise<void> {
    const { batch, call } = running;
    let task: TaskDefinition;
    try {
      task = await this.#options.loader.find(batch.tasks[call.task]!);
    } catch (error) {
      this.#end(running, { kind: "threw-for-good", payload: encodeError(error) }, 0);
      return;
    }
    this.flush(); // Loading took long; what the module logged should not be blamed on the call.
    if (this.#isDropped(running)) this.#end(running, { kind: "cancelled", payload: NOTHING }, 0);
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
    const attempt = runAttempt(task, args, infoOf(running, task, timeoutSeconds), running);
    if ("type" in attempt) {
      this.#finish(running, number, attempt, startedAt);
      return undefined;
    }
    running.attempt = attempt;
    this.#running.add(running);
    this.#current = running;
    this.#options.state.setAwaiting(this.#running.size);
    this.flush(); // It awaits something: others need not wait with it.
    const ended = attempt.outcome.then((outcome) => {
      this.#running.delete(running);
      this.#options.state.setAwaiting(this.#running.size);
      this.#finish(running, number, outcome, startedAt);
      if (outcome.type !== "returned") void this.#watchForLeak(attempt.functionEnded);
      // Nobody else would, if others run meanwhile, or none.
      if (this.#current !== running || !this.#isBusy) this.flush();
    });
    return Promise.race([ended, running.parked()]).then(() => {
      this.#current = undefined;
    });
  }

  #finish(running: RunningCall, number: number, outcome: Outcome, startedAt: number): void {
    this.#limits.end(number);
    this.#end(running, toRaw(outcome), Math.round((performance.now() - startedAt) * 1000));
  }

  #end({ batch, call }: RunningCall, { kind, payload }: RawOutcome, durationMicros: number): void {
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
    if (this.#ended.length > 0 || this.#requests.length > 0) this.flush();
    this.#batchId = batchId;
  }

  async #watchForLeak(functionEnded: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const isLate = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, KILL_GRACE_MS, true);
    });
    if (await Promise.race([functionEnded.then(() => false), isLate])) this.#options.onLeak();
    clearTimeout(timer);
  }

  #find(batchId: string, sequence: number): RunningCall | undefined {
    for (const running of this.#running)
      if (running.call.sequence === sequence && running.batch.id === batchId) return running;
    return undefined;
  }

  #isDropped({ batch, call }: RunningCall): boolean {
    return this.#dropped.size > 0 && this.#dropped.delete(`${batch.id} ${call.sequence}`);
  }
}

const NOTHING = new Uint8Array();

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
