import {
  type Batch,
  type CallAnswer,
  type CallOutcome,
  Durations,
  decodeReport,
  type EncodedReport,
  type FetchValue,
  type Report,
} from "@millrace/broker";
import { RunTimeoutError, WorkerLostError } from "@millrace/core";
import { currentProjectRoot, encode, Queue, writeLogLine } from "@millrace/core/internal";
import type { AmbientCluster } from "./ambient.ts";
import { chunkOf } from "./chunk.ts";
import { DEFAULT_CALLS_PER_THREAD, type Executor } from "./executor.ts";
import type { Overdue } from "./overdue-watch.ts";
import {
  type Execution,
  fulfil,
  openExecution,
  type PendingCall,
  reportOf,
  withoutStrays,
} from "./pending-call.ts";
import { Signal } from "./signal.ts";
import { StartWatch } from "./start-watch.ts";
import { hasRoom, planChunk, STUCK_AFTER_MS } from "./thread-plan.ts";
import type { ThreadSlot } from "./thread-slot.ts";
import { Threads } from "./threads.ts";
import { tsxOf } from "./typescript-loader.ts";
import { type ArrivalHandlers, fetchValues } from "./value-arrivals.ts";

export interface ThreadExecutorOptions {
  readonly threads: number;
  /**
   * How many calls a thread may have under way at once, as long as its event loop is idle: calls that wait for a
   * network, say. Those that wait for calls of their own do not count. Default: 100.
   */
  readonly callsPerThread?: number | undefined;
  /** Default: the root of the project that this process runs. */
  readonly root?: string;
  /** The package.json of the tsx to load TypeScript with. Default: the one this process was started with, if it was. */
  readonly tsx?: string | undefined;
  /** The cluster that the worker belongs to, when it is behind a Redis. */
  readonly cluster?: AmbientCluster;
}

/** Executes calls in worker threads: one at a time in each, beside those that wait. */
export class ThreadExecutor implements Executor {
  readonly threads: number;
  readonly #options: ThreadExecutorOptions;
  readonly #threads: Threads;
  /** Calls that can start, and that no thread has. */
  readonly #ready = new Queue<PendingCall>();
  readonly #executions = new Map<string, Execution>();
  readonly #durations = new Durations<string>();
  readonly #changed = new Signal();
  #stuckTimer: NodeJS.Timeout | undefined;
  /** Left out when nobody would survive to hear of starts: the flow's process is this one. */
  readonly #starts: StartWatch | undefined;
  readonly #arrivals: ArrivalHandlers = {
    onReady: (pending) => {
      this.#ready.push(pending);
      this.#onChange();
    },
    onLost: (pending, { id }) => {
      this.#endHere([pending], "value-lost", Buffer.from(id));
      this.#changed.fire();
    },
  };
  #isClosed = false;

  constructor(options: ThreadExecutorOptions) {
    this.threads = options.threads;
    this.#options = options;
    this.#threads = new Threads({
      onChange: () => this.#onChange(),
      onReport: (slot, bytes, attachments) => this.#onReport(slot, bytes, attachments),
      onStuck: (call, why) => this.#endOverdue(call, why),
      onDied: (slot, reason) => this.#recover(slot, reason),
    });
    if (options.cluster !== undefined)
      this.#starts = new StartWatch(this.#threads, (calls) => this.#tellStarted(calls));
  }

  async start(workerId: string, modules: readonly string[] = []): Promise<void> {
    const { threads, cluster, root = currentProjectRoot(), tsx = tsxOf(process.execArgv) } = this.#options;
    const { callsPerThread = DEFAULT_CALLS_PER_THREAD } = this.#options;
    try {
      await this.#threads.open(threads, { workerId, cluster, root, tsx, modules, mostCalls: callsPerThread });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  execute(batch: Batch, onReport: Execution["onReport"], fetch?: FetchValue): void {
    const execution = openExecution(batch, onReport);
    this.#executions.set(batch.id, execution);
    if (this.#isClosed) {
      this.#lose(execution);
      return;
    }
    if (fetch !== undefined) fetchValues(execution, fetch, this.#arrivals);
    for (const pending of execution.calls.values()) if (pending.waitsFor === 0) this.#ready.push(pending);
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

  handBack(batchId: string): void {
    const execution = this.#executions.get(batchId);
    if (execution === undefined) return;
    for (const slot of this.#threads.slots) this.#takeBack(slot);
    const unstarted = [...execution.calls.values()].filter(
      ({ slot, waitsFor }) => slot === undefined && waitsFor === 0,
    );
    // Something goes on here at any rate, or a batch could go round for ever.
    const isBusy = this.#threads.slots.some(({ calls }) => calls.inFlight.size > 0);
    this.#endHere(isBusy ? unstarted : unstarted.slice(1), "unstarted");
    this.#onChange();
  }

  answer(answer: CallAnswer): void {
    const pending = this.#executions.get(answer.batchId)?.calls.get(answer.sequence);
    pending?.slot?.answer(pending, answer);
  }

  hasRoom(): boolean {
    if (this.#isClosed || this.#ready.size >= this.threads) return false;
    return this.#threads.slots.some((slot) => slot.isOpen && !slot.isStuck && hasRoom(slot.calls));
  }

  room(): Promise<void> {
    return this.#changed.wait();
  }

  async idle(): Promise<void> {
    while (this.#executions.size > 0 && !this.#isClosed) await this.#changed.wait();
  }

  async quiet(): Promise<void> {
    const isBusy = () => this.#ready.size > 0 || this.#threads.slots.some(({ calls }) => calls.busyCalls > 0);
    while (isBusy() && !this.#isClosed) await this.#changed.wait();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#stuckTimer);
    this.#starts?.stop();
    this.#changed.fire();
    await this.#threads.close();
    // Only now: elsewhere they must not run beside what still ran here.
    const left = [...this.#executions.values()].flatMap(({ calls }) => [...calls.values()]);
    this.#endHere(left.filter(isCancelled), "cancelled");
    this.#endHere(left, "lost");
    this.#executions.clear();
  }

  // ---- Out -------------------------------------------------------------------------------------------------------

  #onChange(): void {
    this.#feed();
    this.#changed.fire();
  }

  /** Hands ready calls to threads, a chunk each in turn, until each has enough. */
  #feed(): void {
    // Those with the least to do first: a call should not wait behind others while a thread is idle.
    const slots = this.#threads.slots
      .filter(({ isOpen, isStuck }) => isOpen && !isStuck)
      .sort((a, b) => a.calls.busyCalls - b.calls.busyCalls);
    for (let progress = true; progress && this.#ready.size > 0; ) {
      progress = false;
      for (const slot of slots) {
        const count = planChunk({
          threads: this.threads,
          pending: this.#ready.size,
          inFlightCalls: slot.calls.busyCalls,
          inFlightMs: slot.calls.busyMs,
          expectedMs: (index) => this.#expectedMs(this.#ready.at(index)),
          hasDependents: (index) => this.#ready.at(index).dependents !== undefined,
        });
        if (count > 0) progress = true;
        this.#sendChunk(slot, count);
      }
    }
    if (slots.some(({ calls }) => calls.busyCalls === 0)) this.#watchForStuck();
  }

  /** Sends up to `count` calls from the front of the queue that belong to one batch, and short ones that follow from them. */
  #sendChunk(slot: ThreadSlot, count: number): void {
    let taken = 0;
    while (taken < count && this.#ready.at(taken).execution === this.#ready.at(0).execution) taken++;
    const first = this.#ready.take(taken).filter(({ execution, call }) => execution.calls.has(call.sequence));
    if (first.length === 0) return;
    const calls = chunkOf(first, (pending) => this.#expectedMs(pending));
    for (const pending of calls) pending.expectedMs = this.#expectedMs(pending);
    slot.send(first[0]!.execution.batch, calls);
    this.#starts?.start();
  }

  #expectedMs({ taskKey }: PendingCall): number | undefined {
    return this.#durations.expectedMs(taskKey);
  }

  /** A thread is idle while others have more than they do: should they be longer about it than they should, it gets that. */
  #watchForStuck(): void {
    const others = this.#threads.slots.filter(({ calls, isStuck }) => calls.hasWaiting && !isStuck);
    if (others.length === 0 || this.#stuckTimer !== undefined) return;
    const before = others.map(({ reports }) => reports);
    this.#stuckTimer = setTimeout(() => {
      this.#stuckTimer = undefined;
      for (const [index, slot] of others.entries())
        if (slot.reports === before[index] && slot.calls.hasWaiting) this.#takeBack(slot);
      this.#onChange();
    }, STUCK_AFTER_MS);
  }

  /** Takes calls back that the thread has not started; what it has started, it is stuck in until it reports. */
  #takeBack(slot: ThreadSlot): void {
    const calls = slot.takeBack();
    this.#endHere(calls.filter(isCancelled), "cancelled");
    this.#ready.prepend(calls.filter((pending) => !pending.isCancelled && pending.waitsFor === 0));
  }

  // ---- In --------------------------------------------------------------------------------------------------------

  #onReport(slot: ThreadSlot, bytes: Uint8Array, attachments: readonly Uint8Array[]): void {
    const report = decodeReport(bytes, attachments);
    const execution = this.#executions.get(report.batchId);
    slot.reported();
    if (execution === undefined) {
      if (report.logs !== "") writeLogLine(report.logs); // Written after the end of its batch, by what a call left behind.
    } else {
      for (const { sequence, id } of report.requests) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined && id > 0) slot.calls.asked(pending);
      }
      for (const sequence of report.parked) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined) slot.calls.idles(pending);
      }
      this.#learn(execution, report);
      for (const { sequence } of report.outcomes) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined) slot.ended(pending);
      }
      this.#forward(execution, withoutStrays({ report, bytes, attachments }, execution));
    }
    this.#threads.emptied(slot);
    this.#onChange();
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
    /** What waits for calls that have not returned: their runs may be tried again, so this is not the place to decide. */
    const unstarted = new Set<PendingCall>();
    for (const { sequence, kind, payload } of encoded.report.outcomes) {
      const pending = execution.calls.get(sequence) as PendingCall;
      execution.calls.delete(sequence);
      if (pending.dependents === undefined) continue;
      const next = kind === "returned" ? fulfil(pending, payload) : pending.dependents;
      for (const dependent of next) {
        if (dependent.slot !== undefined) continue; // It is with its thread already, which knows.
        if (kind === "returned") this.#ready.push(dependent);
        else unstarted.add(dependent);
      }
    }
    const isLast = execution.calls.size === 0 && this.#executions.delete(execution.batch.id);
    execution.onReport(encoded, isLast);
    this.#endHere([...unstarted], "unstarted");
  }

  #tellStarted(calls: readonly PendingCall[]): void {
    for (const execution of new Set(calls.map(({ execution }) => execution))) {
      const own = calls.filter((pending) => pending.execution === execution);
      const started = own.map(({ call }) => call.sequence);
      execution.onReport(reportOf(execution, { started }), false);
    }
  }

  #lose({ calls }: Execution): void {
    this.#endHere([...calls.values()], "lost");
  }

  /** Ends calls that no thread will end. */
  #endHere(calls: readonly PendingCall[], kind: CallOutcome["kind"], why?: Error | Uint8Array): void {
    const payload = why instanceof Error ? encode(why) : (why ?? new Uint8Array());
    for (const execution of new Set(calls.map(({ execution }) => execution))) {
      const outcomes = calls
        .filter((pending) => pending.execution === execution && execution.calls.has(pending.call.sequence))
        .map(({ call }) => ({ sequence: call.sequence, kind, durationMicros: 0, payload }));
      if (outcomes.length > 0) this.#forward(execution, reportOf(execution, { outcomes }));
    }
  }

  /** Ends a call whose thread does not get to do so. What its thread may still report of it is left out. */
  #endOverdue(pending: PendingCall, why: Overdue): void {
    pending.slot?.ended(pending);
    const error = why === "timed-out" ? new RunTimeoutError("Task run", pending.timeoutSeconds) : undefined;
    this.#endHere([pending], why, error);
    this.#changed.fire();
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
    this.#ready.prepend(again.filter(({ hasAsked, waitsFor }) => !hasAsked && waitsFor === 0));
    this.#endHere(
      again.filter(({ hasAsked }) => hasAsked),
      "lost",
    );
    const error = new WorkerLostError(`The worker thread that ran the call died. ${reason}`);
    if (!wasKilled) this.#endHere(suspects, suspects.length === 1 ? "crashed" : "suspected", error);
    this.#onChange();
  }
}

function isCancelled(pending: PendingCall): boolean {
  return pending.isCancelled;
}
