import { type Call, NoWorkersError, type Outcome, WorkerLostError } from "@millrace/core";
import {
  decode,
  EncodedValue,
  processLogger,
  type TaskDefinition,
  writeLogLine,
} from "@millrace/core/internal";
import { BatchBuilder } from "./batch-builder.ts";
import { costMs, planBatch } from "./batch-plan.ts";
import { type Broker, type Capacity, DEFAULT_QUEUE, type RunnerLink } from "./broker.ts";
import { Durations } from "./durations.ts";
import type { CallOutcome, Report } from "./messages.ts";
import { Queue } from "./queue.ts";

export interface DispatcherOptions {
  /** For messages. */
  readonly queue?: string;
  /** How long calls may wait while no worker serves the queue, before they end CRASHED. */
  readonly noWorkersTimeoutSeconds: number;
}

/** A call that the dispatcher answers for, until it has settled. */
interface Entry {
  readonly sequence: number;
  readonly call: Call;
  /** How often a thread or process died with the call in it. */
  crashes: number;
  batchId: string | undefined;
  costMs: number;
}

/** Calls taken in one turn of the event loop before a first batch leaves: the cluster works while a long loop submits. */
const SUBMITS_PER_FLUSH = 1000;

const NO_WORKERS_WARNING_MS = 5_000;

/**
 * Keeps the backlog of one runner, sends it in batches through a window, and knows of every call whether it waits, is
 * with a worker, or has settled. It alone sends a call again: brokers and workers only report that one was lost.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  #link!: RunnerLink;
  #capacity: Capacity = { workers: 0, slots: 0 };
  readonly #backlog = new Queue<Entry>();
  /** Calls that were in a thread or process that died: each travels alone, ahead of the backlog. */
  readonly #suspects = new Queue<Entry>();
  readonly #outstanding = new Map<number, Entry>();
  readonly #batches = new Map<string, Set<number>>();
  readonly #durations = new Durations<TaskDefinition>();
  #outstandingMs = 0;
  #nextSequence = 0;
  #nextBatch = 0;
  #submitsThisTurn = 0;
  #isFlushPlanned = false;
  #noWorkersTimers: NodeJS.Timeout[] = [];

  static async start(broker: Broker, options: DispatcherOptions): Promise<Dispatcher> {
    const dispatcher = new Dispatcher(options);
    dispatcher.#link = await broker.connectRunner({
      onReport: (report) => dispatcher.#onReport(report),
      onLost: (batchId, reason) => dispatcher.#onLost(batchId, reason),
      onCapacity: (capacity) => dispatcher.#onCapacity(capacity),
    });
    return dispatcher;
  }

  private constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  submit(call: Call): void {
    this.#backlog.push({ sequence: this.#nextSequence++, call, crashes: 0, batchId: undefined, costMs: 0 });
    if (++this.#submitsThisTurn >= SUBMITS_PER_FLUSH) this.#flush();
    else this.#planFlush();
  }

  cancel(_call: Call): void {}

  /** Leaves the broker. Calls that have not settled never will: close when they have. */
  async close(): Promise<void> {
    this.#clearNoWorkersTimers();
    await this.#link.close();
  }

  // ---- Out -------------------------------------------------------------------------------------------------------

  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    setImmediate(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  /** Sends batches until the window is full. */
  #flush(): void {
    this.#submitsThisTurn = 0;
    if (this.#capacity.slots === 0) {
      if (this.#unsettled > 0) this.#startNoWorkersTimers();
      return;
    }
    for (let entry = this.#suspects.shift(); entry !== undefined; entry = this.#suspects.shift())
      this.#send([entry]);
    for (;;) {
      const count = planBatch({
        ...this.#capacity,
        outstandingCalls: this.#outstanding.size,
        outstandingMs: this.#outstandingMs,
        backlog: this.#backlog.size,
        expectedMs: (index) => this.#durations.expectedMs(this.#backlog.at(index).call.task),
      });
      if (count === 0) return;
      this.#send(this.#backlog.take(count));
    }
  }

  #send(entries: readonly Entry[]): void {
    const batchId = `${this.#link.runnerId}.${this.#nextBatch++}`;
    const builder = new BatchBuilder(batchId, this.#link.runnerId);
    const sequences = new Set<number>();
    for (const entry of entries) {
      try {
        builder.add(entry.sequence, entry.call);
      } catch (error) {
        // Its arguments cannot travel, or its module has no place in the project: that is this call's failure alone.
        // Later, since a runner never settles a call within its submit.
        queueMicrotask(() => entry.call.settle({ type: "threw", error, retriable: false }));
        continue;
      }
      entry.batchId = batchId;
      entry.costMs = costMs(this.#durations.expectedMs(entry.call.task));
      this.#outstandingMs += entry.costMs;
      this.#outstanding.set(entry.sequence, entry);
      sequences.add(entry.sequence);
    }
    if (sequences.size === 0) return;
    this.#batches.set(batchId, sequences);
    this.#link.send(builder.batch());
  }

  // ---- In --------------------------------------------------------------------------------------------------------

  #onReport(report: Report): void {
    if (report.logs !== "") writeLogLine(report.logs); // Before the outcomes: a task's lines come before its end.
    const observed = new Map<TaskDefinition, { calls: number; micros: number }>();
    for (const outcome of report.outcomes) {
      const entry = this.#outstanding.get(outcome.sequence);
      if (entry === undefined) continue; // Settled already, by another delivery: the first outcome won.
      const { task } = entry.call;
      if (outcome.kind === "crashed") {
        if (entry.batchId === report.batchId) this.#crashed(entry, decodeError(outcome.payload) as Error);
        continue;
      }
      let sum = observed.get(task);
      if (sum === undefined) {
        sum = { calls: 0, micros: 0 };
        observed.set(task, sum);
      }
      sum.calls++;
      sum.micros += outcome.durationMicros;
      this.#withdraw(entry);
      entry.call.settle(toOutcome(outcome));
    }
    for (const [task, { calls, micros }] of observed) this.#durations.observe(task, calls, micros / 1000);
    this.#flush();
  }

  #onLost(batchId: string, reason: string): void {
    for (const sequence of [...(this.#batches.get(batchId) ?? [])]) {
      const entry = this.#outstanding.get(sequence);
      if (entry !== undefined) this.#crashed(entry, new WorkerLostError(reason));
    }
    this.#planFlush();
  }

  /** The call was, or may have been, in a thread or process when it died. */
  #crashed(entry: Entry, error: Error): void {
    this.#withdraw(entry);
    entry.crashes++;
    if (entry.crashes > entry.call.task.crashRetries) entry.call.settle({ type: "crashed", error });
    else this.#suspects.push(entry);
  }

  /** Takes a call out of its batch and out of the window. */
  #withdraw(entry: Entry): void {
    const batchId = entry.batchId as string;
    this.#outstanding.delete(entry.sequence);
    this.#outstandingMs -= entry.costMs;
    if (this.#outstanding.size === 0) this.#outstandingMs = 0; // Sums of fractions drift.
    const batch = this.#batches.get(batchId);
    batch?.delete(entry.sequence);
    if (batch?.size === 0) {
      this.#batches.delete(batchId);
      this.#link.release(batchId);
    }
  }

  // ---- Workers ---------------------------------------------------------------------------------------------------

  #onCapacity(capacity: Capacity): void {
    this.#capacity = capacity;
    if (capacity.slots > 0) this.#clearNoWorkersTimers();
    this.#flush();
  }

  get #unsettled(): number {
    return this.#backlog.size + this.#suspects.size + this.#outstanding.size;
  }

  #startNoWorkersTimers(): void {
    if (this.#noWorkersTimers.length > 0) return;
    const queue = this.#options.queue ?? DEFAULT_QUEUE;
    const { noWorkersTimeoutSeconds } = this.#options;
    const error = new NoWorkersError(queue, noWorkersTimeoutSeconds);
    this.#noWorkersTimers = [
      setTimeout(() => {
        const waiting = this.#unsettled;
        if (waiting > 0) processLogger().warn({ queue, waiting }, "calls wait: no worker serves their queue");
      }, NO_WORKERS_WARNING_MS),
      setTimeout(() => {
        // Those in the broker wait as well. Their batches are not released: the link takes them out when it closes.
        const waiting = [
          ...this.#outstanding.values(),
          ...this.#suspects.take(this.#suspects.size),
          ...this.#backlog.take(this.#backlog.size),
        ];
        this.#outstanding.clear();
        this.#outstandingMs = 0;
        this.#batches.clear();
        this.#clearNoWorkersTimers();
        for (const { call } of waiting) call.settle({ type: "crashed", error });
      }, noWorkersTimeoutSeconds * 1000),
    ];
  }

  #clearNoWorkersTimers(): void {
    for (const timer of this.#noWorkersTimers) clearTimeout(timer);
    this.#noWorkersTimers = [];
  }
}

function toOutcome({ kind, payload }: CallOutcome): Outcome {
  switch (kind) {
    case "returned":
      return { type: "returned", value: new EncodedValue(payload) };
    case "threw":
    case "threw-for-good":
      return { type: "threw", error: decodeError(payload), retriable: kind === "threw" };
    case "timed-out":
      return { type: "timed-out", error: decodeError(payload) as Error };
    case "cancelled":
      return { type: "cancelled" };
    case "returned-state":
      return decodedState(payload);
    case "crashed":
      return { type: "crashed", error: decodeError(payload) as Error };
  }
}

/** What a call failed with; or, when its bytes cannot be read here, what is wrong with them: the call has ended either way. */
function decodeError(payload: Uint8Array): unknown {
  try {
    return decode(payload);
  } catch (error) {
    return error;
  }
}

function decodedState(payload: Uint8Array): Outcome {
  try {
    return { type: "returned", value: decode(payload) };
  } catch (error) {
    return { type: "threw", error, retriable: false };
  }
}
