import { type Batch, type CallAnswer, decodeReport, type FetchValue } from "@millrace/broker";
import { RunTimeoutError, WorkerLostError } from "@millrace/core";
import { currentProjectRoot, writeLogLine } from "@millrace/core/internal";
import { DEFAULT_CALLS_PER_THREAD, type Executor } from "../executor.ts";
import type { AmbientCluster } from "../in-thread/ambient.ts";
import { tsxOf } from "../in-thread/typescript-loader.ts";
import { Signal } from "../signal.ts";
import { CallDurations } from "./call-durations.ts";
import { Executions } from "./executions.ts";
import type { Overdue } from "./overdue-watch.ts";
import { type Execution, type PendingCall, withoutStrays } from "./pending-call.ts";
import { recoveryOf } from "./recovery.ts";
import { StartWatch } from "./start-watch.ts";
import { StuckWatch } from "./stuck-watch.ts";
import { ThreadFeed } from "./thread-feed.ts";
import type { ThreadSlot } from "./thread-slot.ts";
import { Threads } from "./threads.ts";
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

/**
 * Executes calls in worker threads: one at a time in each, beside those that wait. Here is decided what follows from what
 * happens: to the executor from outside, and to the calls in its threads.
 */
export class ThreadExecutor implements Executor {
  readonly threads: number;
  readonly #options: ThreadExecutorOptions;
  readonly #threads: Threads;
  readonly #executions: Executions;
  readonly #feed: ThreadFeed;
  readonly #durations = new CallDurations();
  readonly #changed = new Signal();
  readonly #stuck: StuckWatch;
  /** Left out when nobody would survive to hear of starts: the flow's process is this one. */
  readonly #starts: StartWatch | undefined;
  readonly #arrivals: ArrivalHandlers = {
    onReady: (pending) => {
      this.#feed.add(pending);
      this.#onChange();
    },
    onLost: (pending, { id }) => {
      this.#executions.end([pending], "value-lost", Buffer.from(id));
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
      onLeaving: (slot) => this.#recover(slot.takeBack()),
      onDied: (slot, reason) => this.#onDied(slot, reason),
    });
    this.#stuck = new StuckWatch(this.#threads, (slots) => {
      for (const slot of slots) this.#recover(slot.takeBack());
      this.#onChange();
    });
    this.#feed = new ThreadFeed(this.#threads, options.threads, this.#durations, {
      onSent: () => this.#starts?.start(),
      onIdle: () => this.#stuck.start(),
    });
    this.#executions = new Executions((pending) => this.#feed.add(pending));
    if (options.cluster !== undefined)
      this.#starts = new StartWatch(this.#threads, (calls) => this.#executions.tellStarted(calls));
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
    const execution = this.#executions.open(batch, onReport);
    if (this.#isClosed) {
      this.#executions.end([...execution.calls.values()], "lost");
      return;
    }
    if (fetch !== undefined) fetchValues(execution, fetch, this.#arrivals);
    for (const pending of execution.calls.values()) if (pending.waitsFor === 0) this.#feed.add(pending);
    this.#feed.feed();
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    const { calls } = this.#executions.find(batchId) ?? {};
    const waiting: PendingCall[] = [];
    for (const sequence of sequences) {
      const pending = calls?.get(sequence);
      if (pending === undefined || pending.isCancelled) continue;
      pending.isCancelled = true;
      if (pending.slot !== undefined) pending.slot.cancel(pending);
      else waiting.push(pending); // It is left out when its turn comes.
    }
    this.#executions.end(waiting, "cancelled");
    this.#changed.fire();
  }

  handBack(batchId: string): void {
    const execution = this.#executions.find(batchId);
    if (execution === undefined) return;
    for (const slot of this.#threads.slots) this.#recover(slot.takeBack());
    const unstarted = [...execution.calls.values()].filter(
      ({ slot, waitsFor }) => slot === undefined && waitsFor === 0,
    );
    // Something goes on here at any rate, or a batch could go round for ever.
    const isBusy = this.#threads.all.some(({ calls }) => calls.inFlight.size > 0);
    this.#executions.end(isBusy ? unstarted : unstarted.slice(1), "unstarted");
    this.#onChange();
  }

  answer(answer: CallAnswer): void {
    const pending = this.#executions.find(answer.batchId)?.calls.get(answer.sequence);
    pending?.slot?.answer(pending, answer);
  }

  hasRoom(): boolean {
    return !this.#isClosed && this.#feed.hasRoom();
  }

  room(): Promise<void> {
    return this.#changed.wait();
  }

  async idle(): Promise<void> {
    while (!this.#executions.isEmpty && !this.#isClosed) await this.#changed.wait();
  }

  async quiet(): Promise<void> {
    const isBusy = () => !this.#feed.isEmpty || this.#threads.all.some(({ calls }) => calls.busyCalls > 0);
    while (isBusy() && !this.#isClosed) await this.#changed.wait();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stuck.stop();
    this.#starts?.stop();
    this.#changed.fire();
    await this.#threads.close();
    this.#executions.close(); // Only now: elsewhere calls must not run beside what still ran here.
  }

  // ---- What threads do -------------------------------------------------------------------------------------------

  #onChange(): void {
    this.#feed.feed();
    this.#changed.fire();
  }

  #onReport(slot: ThreadSlot, bytes: Uint8Array, attachments: readonly Uint8Array[]): void {
    const report = decodeReport(bytes, attachments);
    const execution = this.#executions.find(report.batchId);
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
      this.#durations.learn(execution, report);
      for (const { sequence } of report.outcomes) {
        const pending = execution.calls.get(sequence);
        if (pending !== undefined) slot.ended(pending);
      }
      const known = withoutStrays({ report, bytes, attachments }, execution);
      // First the threads, which would wait while the report is sent.
      this.#executions.forward(execution, known, () => this.#feed.feed());
    }
    this.#threads.emptied(slot);
    this.#onChange();
  }

  /** Ends a call whose thread does not get to do so. What its thread may still report of it is left out. */
  #endOverdue(pending: PendingCall, why: Overdue): void {
    pending.slot?.ended(pending);
    const error = why === "timed-out" ? new RunTimeoutError("Task run", pending.timeoutSeconds) : undefined;
    this.#executions.end([pending], why, error);
    this.#changed.fire();
  }

  /** Of the calls of a thread that has died, those that may have killed it are reported; the others are recovered. */
  #onDied(slot: ThreadSlot, reason: string): void {
    const { suspects, others } = slot.lost();
    const wasKilled = slot.kill.signal.aborted; // By us: nobody is to blame.
    this.#recover(wasKilled ? [...suspects, ...others] : others);
    const error = new WorkerLostError(`The worker thread that ran the call died. ${reason}`);
    if (!wasKilled) this.#executions.end(suspects, suspects.length === 1 ? "crashed" : "suspected", error);
    this.#onChange();
  }

  /** Calls come back that their thread has not ended. */
  #recover(calls: readonly PendingCall[]): void {
    const { cancelled, unstarted, lost, ready } = recoveryOf(calls);
    this.#executions.end(cancelled, "cancelled");
    this.#executions.end(unstarted, "unstarted");
    this.#feed.prepend(ready);
    this.#executions.end(lost, "lost");
  }
}
