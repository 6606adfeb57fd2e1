import {
  type Batch,
  type BatchCall,
  type CallContext,
  type EncodedReport,
  encodeReport,
  type OutcomeKind,
  type Report,
} from "@millrace/broker";
import { NotEncodableError, type Outcome, State } from "@millrace/core";
import {
  type AttemptInfo,
  ConcurrentSession,
  decode,
  decodeWithInputs,
  defaultServices,
  encode,
  type RunningAttempt,
  runAttempt,
  type TaskDefinition,
} from "@millrace/core/internal";
import type { ModuleLoader } from "./module-loader.ts";

/** Outcomes wait at most this long for company, when another call can start meanwhile. */
const FLUSH_MS = 1;

export interface CallRunnerOptions {
  readonly loader: ModuleLoader;
  /** Gets what has ended and was logged. */
  readonly send: (report: EncodedReport) => void;
  /** Told before each call, so that it is known which one ran should the thread die. */
  readonly starting: () => void;
  /** Gives the log lines written since it was last asked. */
  readonly takeLogs: () => string;
}

/** Executes calls one after the other where it is: in a worker thread, or for the InlineExecutor on this event loop. */
export class CallRunner {
  readonly #options: CallRunnerOptions;
  readonly #chunks: Batch[] = [];
  readonly #services = defaultServices();
  #isRunning = false;
  #isClosed = false;
  #batchId = "";
  #ended: Report["outcomes"][number][] = [];
  #lastFlush = 0;
  /** The call that is awaited, and how to end it from outside. */
  #current: { readonly taskRunId: string; readonly fail: (error: unknown) => void } | undefined;

  constructor(options: CallRunnerOptions) {
    this.#options = options;
  }

  /** Takes the calls of a batch, or of a part of it, behind those that it has. */
  accept(chunk: Batch): void {
    this.#chunks.push(chunk);
    if (!this.#isRunning) void this.#run();
  }

  /** Starts no more calls. */
  close(): void {
    this.#isClosed = true;
  }

  /** Sends what there is now: called by the log, whose lines should not wait for the end of a long call. */
  flush(): void {
    const logs = this.#options.takeLogs();
    this.#lastFlush = performance.now();
    if (this.#ended.length === 0 && logs === "") return;
    const report: Report = { batchId: this.#batchId, outcomes: this.#ended, logs };
    this.#ended = [];
    this.#options.send({ report, bytes: encodeReport(report) });
  }

  /**
   * Ends a call with an error that it left floating: a rejection that nobody handled, an exception in a callback.
   * Returns false when the call is not the one that is running.
   */
  fail(taskRunId: string, error: unknown): boolean {
    if (this.#current?.taskRunId !== taskRunId) return false;
    this.#current.fail(error);
    return true;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) {
      this.#batchId = chunk.id;
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
    this.#isRunning = false;
  }

  #execute(batch: Batch, call: BatchCall): Promise<void> | undefined {
    this.#options.starting();
    const task = this.#options.loader.known(batch.tasks[call.task]!);
    return task === undefined ? this.#loadAndExecute(batch, call) : this.#executeTask(task, batch, call);
  }

  async #loadAndExecute(batch: Batch, call: BatchCall): Promise<void> {
    let task: TaskDefinition;
    try {
      task = await this.#options.loader.find(batch.tasks[call.task]!);
    } catch (error) {
      return this.#end(call, "threw-for-good", 0, encodeError(error));
    }
    this.flush(); // Loading took long; what the module logged should not be blamed on the call.
    await this.#executeTask(task, batch, call);
  }

  #executeTask(task: TaskDefinition, batch: Batch, call: BatchCall): Promise<void> | undefined {
    let args: readonly unknown[];
    try {
      args = decodeWithInputs(call.args, call.inputs.map(decode)) as readonly unknown[];
    } catch (error) {
      this.#end(call, "threw-for-good", 0, encodeError(error));
      return undefined;
    }
    const startedAt = performance.now();
    const { timeoutSeconds } = batch.tasks[call.task]!;
    const info = infoOf(batch.contexts[call.context]!, task, call, timeoutSeconds);
    const attempt = runAttempt(task, args, info, { services: this.#services, openSession });
    if ("type" in attempt) {
      this.#endWith(call, attempt, startedAt);
      return undefined;
    }
    this.flush(); // It awaits something: others need not wait with it.
    return this.#untilEnded(attempt, info.taskRunId).then((ended) => this.#endWith(call, ended, startedAt));
  }

  async #untilEnded(attempt: RunningAttempt, taskRunId: string): Promise<Outcome> {
    this.#current = { taskRunId, fail: (error) => attempt.fail(error) };
    const ended = await attempt.outcome;
    this.#current = undefined;
    return ended;
  }

  #endWith(call: BatchCall, outcome: Outcome, startedAt: number): void {
    const micros = Math.round((performance.now() - startedAt) * 1000);
    try {
      if (outcome.type === "timed-out") {
        this.#end(call, "timed-out", micros, encode(outcome.error, "error"));
      } else if (outcome.type === "cancelled") {
        this.#end(call, "cancelled", micros, NO_BYTES);
      } else if (outcome.type !== "returned") {
        this.#end(call, "threw", micros, encode(outcome.error, "error"));
      } else {
        const kind = outcome.value instanceof State ? "returned-state" : "returned";
        this.#end(call, kind, micros, encode(outcome.value, "result"));
      }
    } catch (error) {
      // NotEncodableError, or what a getter of the value threw.
      this.#end(call, "threw-for-good", micros, encodeError(error));
    }
  }

  #end({ sequence }: BatchCall, kind: OutcomeKind, durationMicros: number, payload: Uint8Array): void {
    this.#ended.push({ sequence, kind, durationMicros, payload });
  }
}

/** An error, or when it cannot be sent itself, such as a module that throws a function, the error which says that. */
function encodeError(error: unknown): Uint8Array {
  try {
    return encode(error, "error");
  } catch (reason) {
    return encode(reason instanceof NotEncodableError ? reason : new Error(String(reason)));
  }
}

function infoOf(
  context: CallContext,
  task: TaskDefinition,
  { number, name, attempt }: BatchCall,
  timeoutSeconds: number,
): AttemptInfo {
  const { scopeId, flowRunId, flowName, flowRunName, tags, logConsole, heldLimits } = context;
  return {
    flowRunId,
    flowName,
    flowRunName,
    taskRunId: `${scopeId}-${number}`,
    taskRunName: name || `${task.name}-${number}`,
    attempt,
    tags,
    logConsole: logConsole || task.logConsole,
    timeoutSeconds: timeoutSeconds || undefined,
    heldLimits,
  };
}

const NO_BYTES = new Uint8Array();

/** Tasks that a task calls run where it runs. */
const openSession = () => new ConcurrentSession();
