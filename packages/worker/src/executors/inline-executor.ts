import type { Batch, CallAnswer, EncodedReport, FetchValue } from "@millrace/broker";
import { currentProjectRoot } from "@millrace/core/internal";
import { DEFAULT_CALLS_PER_THREAD, type Executor } from "../executor.ts";
import { addCallFinder } from "../in-thread/ambient.ts";
import { CallRunner } from "../in-thread/call-runner.ts";
import { ModuleLoader } from "../in-thread/module-loader.ts";
import { ThreadState } from "../in-thread/thread-state.ts";
import { Signal } from "../signal.ts";
import { fetchedBatch, hasReferences } from "./fetched-batch.ts";
import { lostOutcome, reportOf } from "./pending-call.ts";

interface Execution {
  readonly batch: Batch;
  /** Calls that have not ended, by sequence. */
  readonly unended: Set<number>;
  /** Calls that were cancelled while their values are fetched; undefined when these are there. */
  cancelled: Set<number> | undefined;
  readonly onReport: (report: EncodedReport, isLast: boolean) => void;
}

export interface InlineExecutorOptions {
  /** Default: the root of the project that this process runs. */
  readonly root?: string;
  /** See ThreadExecutorOptions: here the thread is this process's own. */
  readonly callsPerThread?: number | undefined;
}

/**
 * Executes calls on the event loop of this process, one at a time, beside those that wait for calls of their own. For
 * work that must be in the worker's own process, for debugging, and as the simplest thing that is an executor. Code that
 * blocks here also blocks the worker's heartbeat.
 */
export class InlineExecutor implements Executor {
  readonly threads = 1;
  readonly #executions = new Map<string, Execution>();
  readonly #changed = new Signal();
  readonly #loader: ModuleLoader;
  readonly #runner: CallRunner;
  readonly #hideCalls: () => void;
  readonly #state = new ThreadState();
  #taken = 0;
  #workerId = "";
  #isClosed = false;

  constructor({
    root = currentProjectRoot(),
    callsPerThread = DEFAULT_CALLS_PER_THREAD,
  }: InlineExecutorOptions = {}) {
    this.#loader = new ModuleLoader(root);
    this.#runner = new CallRunner({
      loader: this.#loader,
      workerId: () => this.#workerId,
      mostCalls: callsPerThread,
      send: (report) => this.#onReport(report),
      state: this.#state,
      onRoom: () => this.#changed.fire(),
      onPassedOver: () => {},
      onDeferred: () => {},
      onGoesOn: () => {}, // Code on this event loop cannot be stopped.
      onEnded: () => {},
      takeLogs: () => "", // Run loggers of this process write where the process's lines go.
    });
    this.#hideCalls = addCallFinder((context) => this.#runner.callOf(context));
  }

  async start(workerId: string, modules: readonly string[] = []): Promise<void> {
    this.#workerId = workerId;
    for (const module of modules) await this.#loader.preload(module);
  }

  execute(
    batch: Batch,
    onReport: (report: EncodedReport, isLast: boolean) => void,
    fetch?: FetchValue,
  ): void {
    const unended = new Set(batch.calls.map(({ sequence }) => sequence));
    const execution: Execution = { batch, unended, onReport, cancelled: undefined };
    if (this.#isClosed) {
      this.#lose(execution);
      return;
    }
    this.#executions.set(batch.id, execution);
    if (fetch === undefined || !hasReferences(batch)) this.#accept(batch);
    else void this.#fetchAndAccept(batch, fetch, execution);
  }

  /** Its calls start together, when all of their values are there. */
  async #fetchAndAccept(batch: Batch, fetch: FetchValue, execution: Execution): Promise<void> {
    execution.cancelled = new Set();
    const fetched = await fetchedBatch(batch, fetch, execution.cancelled);
    execution.cancelled = undefined;
    if (this.#isClosed) return;
    if (fetched.ended.length > 0) this.#onReport(reportOf({ batch }, { outcomes: fetched.ended }));
    if (fetched.batch.calls.length > 0) this.#accept(fetched.batch);
  }

  #accept(batch: Batch): void {
    for (let call = 0; call < batch.calls.length; call++) this.#state.offer(this.#taken++);
    this.#runner.accept(batch);
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    const fetching = this.#executions.get(batchId)?.cancelled;
    for (const sequence of sequences) {
      if (fetching === undefined) this.#runner.cancel(batchId, sequence);
      else fetching.add(sequence);
    }
  }

  handBack(batchId: string): void {
    this.#runner.handBack(batchId);
  }

  answer(answer: CallAnswer): void {
    this.#runner.answer(answer);
  }

  hasRoom(): boolean {
    return this.#executions.size === 0 || this.#runner.hasRoom;
  }

  room(): Promise<void> {
    return this.#changed.wait();
  }

  async idle(): Promise<void> {
    while (this.#executions.size > 0) await this.#changed.wait();
  }

  async quiet(): Promise<void> {
    while (!this.hasRoom() && !this.#isClosed) await this.#changed.wait();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#runner.close();
    this.#hideCalls();
    for (const execution of this.#executions.values()) this.#lose(execution);
    this.#executions.clear();
    this.#changed.fire();
  }

  #lose({ batch, unended, onReport }: Execution): void {
    onReport(reportOf({ batch }, { outcomes: [...unended].map(lostOutcome) }), true);
  }

  #onReport(encoded: EncodedReport): void {
    const execution = this.#executions.get(encoded.report.batchId);
    if (execution === undefined || this.#isClosed) return;
    for (const { sequence } of encoded.report.outcomes) execution.unended.delete(sequence);
    const isLast = execution.unended.size === 0;
    if (isLast) this.#executions.delete(encoded.report.batchId);
    execution.onReport(encoded, isLast);
    this.#changed.fire();
  }
}
