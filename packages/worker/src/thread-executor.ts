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
import { deathSentence } from "./death-sentence.ts";
import type { Executor } from "./executor.ts";
import { Signal } from "./signal.ts";
import { AHEAD_MS, planChunk } from "./thread-plan.ts";
import type { ThreadStart } from "./thread-protocol.ts";
import { type Execution, type PendingCall, ThreadSlot } from "./thread-slot.ts";
import { threadArguments, tsxOf } from "./typescript-loader.ts";

export interface ThreadExecutorOptions {
  readonly threads: number;
  /** Default: the root of the project that this process runs. */
  readonly root?: string;
  /** The package.json of the tsx to load TypeScript with. Default: the one this process was started with, if it was. */
  readonly tsx?: string | undefined;
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
  readonly #slots: ThreadSlot[] = [];
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
  }: ThreadExecutorOptions) {
    this.threads = threads;
    this.#root = root;
    this.#tsx = tsx;
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
      };
      execution.calls.set(call.sequence, pending);
      this.#pending.push(pending);
    }
    this.#feed();
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    const { calls } = this.#executions.get(batchId) ?? {};
    for (const sequence of sequences) {
      const pending = calls?.get(sequence);
      if (pending?.slot !== undefined) pending.slot.cancel(pending);
      else if (pending !== undefined) this.#endHere(pending, "cancelled"); // It is left out when its turn comes.
    }
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
    for (const slot of this.#slots) {
      slot.lost(); // Its timers go.
      slot.port.close();
    }
    await this.#pool?.destroy();
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
      this.#forward(execution, { report, bytes });
    }
    if (slot.isLeaking && slot.inFlight.size === 0) slot.kill.abort();
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

  /** Ends a call that no thread will end. */
  #endHere({ execution, call }: PendingCall, kind: CallOutcome["kind"], error?: Error): void {
    const payload = error === undefined ? new Uint8Array() : encode(error);
    const report: Report = {
      batchId: execution.batch.id,
      outcomes: [{ sequence: call.sequence, kind, durationMicros: 0, payload }],
      logs: "",
      requests: [],
      workerId: "",
    };
    this.#forward(execution, { report, bytes: encodeReport(report) });
  }

  // ---- Threads ---------------------------------------------------------------------------------------------------

  #openSlot(pool: Piscina): ThreadSlot {
    let stuck: { readonly call: PendingCall; readonly why: "timed-out" | "cancelled" } | undefined;
    const slot: ThreadSlot = new ThreadSlot({
      onReady: () => {
        this.#feed();
        this.#changed.fire();
      },
      onReport: (bytes) => this.#onReport(slot, bytes),
      onStuck: (call, why) => {
        stuck = { call, why };
        slot.kill.abort();
      },
    });
    const start: ThreadStart = {
      ...slot.start,
      workerId: this.#workerId,
      root: this.#root,
      tsx: this.#tsx,
      modules: this.#modules,
    };
    const died = (reason: string) => {
      if (this.#isClosed) return;
      slot.receiveLast();
      slot.port.close();
      slot.failStart(new WorkerStartError(`Expected a worker thread to start, but it died. ${reason}`));
      this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
      if (stuck !== undefined && slot.inFlight.has(stuck.call)) this.#endStuck(slot, stuck.call, stuck.why);
      this.#recover(slot, slot.kill.signal.aborted, reason);
      this.#changed.fire();
    };
    pool.run(start, { transferList: [start.port], signal: slot.kill.signal }).then(
      () => died("The thread ended."),
      (error: unknown) => died(deathSentence(error)),
    );
    return slot;
  }

  #endStuck(slot: ThreadSlot, call: PendingCall, why: "timed-out" | "cancelled"): void {
    slot.ended(call);
    const { timeoutSeconds } = call.execution.batch.tasks[call.call.task]!;
    this.#endHere(
      call,
      why,
      why === "timed-out" ? new RunTimeoutError("Task run", timeoutSeconds) : undefined,
    );
  }

  /**
   * What becomes of the calls of a thread that has died: those that may have killed it are reported, and so are others
   * that have asked something of their flow's process, which then starts them afresh; the rest run again.
   */
  #recover(slot: ThreadSlot, wasKilled: boolean, reason: string): void {
    const lost = slot.lost();
    const suspects = wasKilled ? [] : lost.suspects;
    const innocents = wasKilled ? [...lost.suspects, ...lost.others] : lost.others;
    this.#pending.prepend(innocents.filter(({ hasAsked }) => !hasAsked));
    for (const call of innocents) if (call.hasAsked) this.#endHere(call, "lost");
    const error = new WorkerLostError(`The worker thread that ran the call died. ${reason}`);
    for (const call of suspects) this.#endHere(call, suspects.length === 1 ? "crashed" : "suspected", error);
    this.#feed();
  }
}
