import { fileURLToPath } from "node:url";
import {
  type Batch,
  type CallAnswer,
  type CallOutcome,
  Durations,
  decodeReport,
  type EncodedReport,
  encodeReport,
  Queue,
  type Report,
} from "@millrace/broker";
import { RunTimeoutError, WorkerLostError, WorkerStartError } from "@millrace/core";
import { currentProjectRoot, encode, writeLogLine } from "@millrace/core/internal";
import type { Piscina } from "piscina";
import type { AmbientCluster } from "./ambient.ts";
import { deathSentence } from "./death-sentence.ts";
import type { Executor } from "./executor.ts";
import { Signal } from "./signal.ts";
import { AHEAD_MS, planChunk } from "./thread-plan.ts";
import type { ThreadStart } from "./thread-protocol.ts";
import { type Execution, type Overdue, type PendingCall, ThreadSlot } from "./thread-slot.ts";
import { threadArguments, tsxOf } from "./typescript-loader.ts";

export interface ThreadExecutorOptions {
  readonly threads: number;
  /** Default: the root of the project that this process runs. */
  readonly root?: string;
  /** The package.json of the tsx to load TypeScript with. Default: the one this process was started with, if it was. */
  readonly tsx?: string | undefined;
  /** The cluster that the worker belongs to, when it is behind a Redis. */
  readonly cluster?: AmbientCluster;
}

/** `src` and `dist` are side by side: threads run the built file in both, since a thread cannot load our TypeScript. */
const THREAD_ENTRY = fileURLToPath(new URL("../dist/thread-bootstrap.cjs", import.meta.url));

/**
 * Executes calls in worker threads, one at a time in each, beside those that wait for calls of their own. Piscina
 * starts, replaces and ends the threads; calls do not pass through its queue but through a port per thread, so that
 * several can be on the way, and outcomes come as they end. (Piscina's queue is not first in, first out, and answers
 * once per run; one call at a time through it costs 70 to 100 µs.)
 */
export class ThreadExecutor implements Executor {
  readonly threads: number;
  readonly #root: string;
  readonly #tsx: string | undefined;
  readonly #cluster: AmbientCluster | undefined;
  readonly #slots: ThreadSlot[] = [];
  /** Threads that have been replaced, and go when their calls have ended. */
  readonly #leaving = new Set<ThreadSlot>();
  readonly #pending = new Queue<PendingCall>();
  readonly #executions = new Map<string, Execution>();
  readonly #durations = new Durations<string>();
  readonly #changed = new Signal();
  #pool: Piscina | undefined;
  #workerId = "";
  #modules: readonly string[] = [];
  #isClosed = false;

  constructor({
    threads,
    root = currentProjectRoot(),
    tsx = tsxOf(process.execArgv),
    cluster,
  }: ThreadExecutorOptions) {
    this.threads = threads;
    this.#root = root;
    this.#tsx = tsx;
    this.#cluster = cluster;
  }

  async start(workerId: string, modules: readonly string[] = []): Promise<void> {
    this.#workerId = workerId;
    this.#modules = modules;
    const { Piscina } = await import("piscina");
    if (this.#isClosed) return;
    const execArgv = threadArguments(process.execArgv);
    this.#pool = new Piscina({
      filename: THREAD_ENTRY,
      minThreads: this.threads,
      maxThreads: this.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: "disabled", // The default parks an idle thread in Atomics.wait: no timers, no sockets, no messages.
      recordTiming: false,
      ...(execArgv !== undefined && { execArgv }),
    });
    this.#pool.on("error", () => {}); // A thread that dies is seen by its resident run.
    for (let index = 0; index < this.threads; index++) this.#slots.push(this.#openSlot(this.#pool));
    try {
      // One thread that is ready can work; the others come beside it.
      await Promise.race(this.#slots.map((slot) => slot.ready));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  execute(batch: Batch, onReport: Execution["onReport"]): void {
    const taskKeys = batch.tasks.map(({ module, name }) => `${module}\n${name}`);
    const execution: Execution = { batch, taskKeys, calls: new Map(), onReport };
    this.#executions.set(batch.id, execution);
    for (const call of batch.calls) {
      const pending = {
        execution,
        call,
        slot: undefined,
        number: 0,
        expectedMs: undefined,
        unanswered: 0,
        hasAsked: false,
        isCancelled: false,
      };
      execution.calls.set(call.sequence, pending);
      this.#pending.push(pending);
    }
    this.#feed();
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    const { calls } = this.#executions.get(batchId) ?? {};
    const waiting: PendingCall[] = [];
    for (const sequence of sequences) {
      const pending = calls?.get(sequence);
      if (pending === undefined || pending.isCancelled) continue;
      pending.isCancelled = true;
      if (pending.slot !== undefined) pending.slot.cancel(pending);
      else waiting.push(pending); // It is left out when its turn comes.
    }
    this.#endHere(waiting, "cancelled");
    this.#changed.fire();
  }

  answer(answer: CallAnswer): void {
    const pending = this.#executions.get(answer.batchId)?.calls.get(answer.sequence);
    pending?.slot?.answer(pending, answer);
  }

  hasRoom(): boolean {
    if (this.#isClosed || this.#pending.size >= this.threads) return false;
    return this.#slots.some((slot) => slot.isOpen && slot.busyMs < 2 * AHEAD_MS);
  }

  room(): Promise<void> {
    return this.#changed.wait();
  }

  async idle(): Promise<void> {
    while (this.#executions.size > 0 && !this.#isClosed) await this.#changed.wait();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#executions.clear();
    this.#changed.fire();
    for (const slot of [...this.#slots, ...this.#leaving]) {
      slot.lost(); // Its timers go.
      slot.port.close();
    }
    if (this.#pool === undefined) return;
    // Piscina would replace a thread that was ended before, and exits only now: for ever, with nobody to end it.
    this.#pool.options.minThreads = 0;
    await this.#pool.destroy();
  }

  // ---- Out -------------------------------------------------------------------------------------------------------

  /** Hands pending calls to threads, a chunk each in turn, until each has enough. */
  #feed(): void {
    for (let progress = true; progress && this.#pending.size > 0; ) {
      progress = false;
      for (const slot of this.#slots) {
        if (!slot.isOpen) continue;
        const count = planChunk({
          threads: this.threads,
          pending: this.#pending.size,
          inFlightCalls: slot.busyCalls,
          inFlightMs: slot.busyMs,
          expectedMs: (index) => this.#expectedMs(this.#pending.at(index)),
        });
        if (count > 0) progress = true;
        this.#sendChunk(slot, count);
      }
    }
  }

  /** Sends up to `count` calls from the front of the queue that belong to one batch. */
  #sendChunk(slot: ThreadSlot, count: number): void {
    let taken = 0;
    while (taken < count && this.#pending.at(taken).execution === this.#pending.at(0).execution) taken++;
    const chunk = this.#pending
      .take(taken)
      .filter(({ execution, call }) => execution.calls.has(call.sequence));
    if (chunk.length === 0) return;
    const { batch } = chunk[0]!.execution;
    for (const pending of chunk) pending.expectedMs = this.#expectedMs(pending);
    slot.send({ ...batch, calls: chunk.map(({ call }) => call) }, chunk);
  }

  #expectedMs({ execution, call }: PendingCall): number | undefined {
    return this.#durations.expectedMs(execution.taskKeys[call.task] as string);
  }

  // ---- In --------------------------------------------------------------------------------------------------------

  #onReport(slot: ThreadSlot, bytes: Uint8Array): void {
    const report = decodeReport(bytes);
    const execution = this.#executions.get(report.batchId);
    if (execution === undefined) {
      if (report.logs !== "") writeLogLine(report.logs); // Written after the end of its batch, by what a call left behind.
    } else {
      for (const { sequence, id } of report.requests) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined && id > 0) slot.asked(pending);
      }
      this.#learn(execution, report);
      for (const { sequence } of report.outcomes) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined) slot.ended(pending);
      }
      this.#forward(execution, withoutStrays({ report, bytes }, execution));
    }
    if (slot.isLeaving && slot.inFlight.size === 0) slot.kill.abort();
    this.#feed();
    this.#changed.fire();
  }

  /** Calls of one task in a row count as one observation: their mean is steadier than any of them. */
  #learn({ taskKeys, calls }: Execution, { outcomes }: Report): void {
    for (let first = 0; first < outcomes.length; ) {
      const task = calls.get(outcomes[first]!.sequence)?.call.task;
      let last = first;
      let micros = 0;
      while (last < outcomes.length && calls.get(outcomes[last]!.sequence)?.call.task === task)
        micros += outcomes[last++]!.durationMicros;
      if (task !== undefined) this.#durations.observe(taskKeys[task] as string, last - first, micros / 1000);
      first = last;
    }
  }

  #forward(execution: Execution, encoded: EncodedReport): void {
    for (const { sequence } of encoded.report.outcomes) execution.calls.delete(sequence);
    const isLast = execution.calls.size === 0 && this.#executions.delete(execution.batch.id);
    execution.onReport(encoded, isLast);
  }

  /** Ends calls that no thread will end. */
  #endHere(calls: readonly PendingCall[], kind: CallOutcome["kind"], error?: Error): void {
    const payload = error === undefined ? new Uint8Array() : encode(error);
    for (const execution of new Set(calls.map(({ execution }) => execution))) {
      const outcomes = calls
        .filter((pending) => pending.execution === execution)
        .map(({ call }) => ({ sequence: call.sequence, kind, durationMicros: 0, payload }));
      this.#forward(execution, reportOf(execution, { outcomes, logs: "", requests: [], workerId: "" }));
    }
  }

  // ---- Threads ---------------------------------------------------------------------------------------------------

  #openSlot(pool: Piscina): ThreadSlot {
    const slot: ThreadSlot = new ThreadSlot({
      onReady: () => {
        this.#feed();
        this.#changed.fire();
      },
      onReport: (bytes) => this.#onReport(slot, bytes),
      onStuck: (call, why, isGuilty) => {
        this.#endOverdue(call, why);
        if (isGuilty) slot.kill.abort();
        this.#changed.fire();
      },
      onLeak: () => this.#letGo(slot, pool),
    });
    const start: ThreadStart = {
      ...slot.start,
      workerId: this.#workerId,
      cluster: this.#cluster,
      root: this.#root,
      tsx: this.#tsx,
      modules: this.#modules,
    };
    pool.run(start, { transferList: [start.port], signal: slot.kill.signal }).then(
      () => this.#died(slot, pool, "The thread ended."),
      (error: unknown) => this.#died(slot, pool, deathSentence(error)),
    );
    return slot;
  }

  /** A thread has no future: another takes its place at once, since its calls may wait for calls that need one. */
  #letGo(slot: ThreadSlot, pool: Piscina): void {
    if (this.#isClosed) return;
    this.#leaving.add(slot);
    pool.options.maxThreads++;
    this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
    if (slot.inFlight.size === 0) slot.kill.abort();
  }

  #died(slot: ThreadSlot, pool: Piscina, reason: string): void {
    if (this.#isClosed) return;
    slot.receiveLast();
    slot.port.close();
    slot.failStart(new WorkerStartError(`Expected a worker thread to start, but it died. ${reason}`));
    if (this.#leaving.delete(slot)) pool.options.maxThreads--;
    else this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
    this.#recover(slot, reason);
    this.#changed.fire();
  }

  /** Ends a call whose thread does not get to do so. What its thread may still report of it is left out. */
  #endOverdue(pending: PendingCall, why: Overdue): void {
    pending.slot?.ended(pending);
    const { timeoutSeconds } = pending.execution.batch.tasks[pending.call.task]!;
    const error = why === "timed-out" ? new RunTimeoutError("Task run", timeoutSeconds) : undefined;
    this.#endHere([pending], why, error);
  }

  /**
   * What becomes of the calls of a thread that has died: those that may have killed it are reported, and so are others
   * that have asked something of their flow's process, which then starts them afresh; the rest run again.
   */
  #recover(slot: ThreadSlot, reason: string): void {
    const { suspects, others } = slot.lost();
    const wasKilled = slot.kill.signal.aborted; // By us: nobody is to blame.
    const innocents = wasKilled ? [...suspects, ...others] : others;
    this.#endHere(innocents.filter(isCancelled), "cancelled");
    const again = innocents.filter((pending) => !isCancelled(pending));
    this.#pending.prepend(again.filter(({ hasAsked }) => !hasAsked));
    this.#endHere(
      again.filter(({ hasAsked }) => hasAsked),
      "lost",
    );
    const error = new WorkerLostError(`The worker thread that ran the call died. ${reason}`);
    if (!wasKilled) this.#endHere(suspects, suspects.length === 1 ? "crashed" : "suspected", error);
    this.#feed();
  }
}

function isCancelled(pending: PendingCall): boolean {
  return pending.isCancelled;
}

function reportOf(execution: Execution, parts: Omit<Report, "batchId">): EncodedReport {
  const report: Report = { batchId: execution.batch.id, ...parts };
  return { report, bytes: encodeReport(report) };
}

/** The report without outcomes of calls that have been ended here. */
function withoutStrays(encoded: EncodedReport, execution: Execution): EncodedReport {
  const { outcomes, ...rest } = encoded.report;
  const known = outcomes.filter(({ sequence }) => execution.calls.has(sequence));
  return known.length === outcomes.length ? encoded : reportOf(execution, { ...rest, outcomes: known });
}
