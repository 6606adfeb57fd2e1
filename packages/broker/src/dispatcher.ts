import { type Call, DecodeError, WorkerLostError } from "@millrace/core";
import { processLogger, type TaskDefinition, writeLogLine } from "@millrace/core/internal";
import { Backlog } from "./backlog.ts";
import { BatchBuilder } from "./batch-builder.ts";
import { costMs, planBatch } from "./batch-plan.ts";
import { type Broker, type Capacity, DEFAULT_QUEUE, type RunnerLink } from "./broker.ts";
import { serveRequest } from "./call-services.ts";
import { Durations } from "./durations.ts";
import { type Entry, LocalEntry, type Nested, NestedEntry } from "./entries.ts";
import type { CallRequest, OutcomeKind, Report } from "./messages.ts";
import { NoWorkersWatch } from "./no-workers-watch.ts";
import { decodeError, type RawOutcome } from "./outcomes.ts";
import { Queue } from "./queue.ts";
import { decodeRequest, encodeOutcome, type Request } from "./requests.ts";

export interface DispatcherOptions {
  /** For messages. */
  readonly queue?: string;
  /** Gives the dispatcher of the flow run for another queue. Left out: calls of all queues come here. */
  readonly laneOf?: (queue: string) => Promise<Dispatcher>;
  /** How long calls may wait while no worker serves the queue, before they end CRASHED. */
  readonly noWorkersTimeoutSeconds: number;
}

/** Calls taken in one turn of the event loop before a first batch leaves: the cluster works while a long loop submits. */
const SUBMITS_PER_FLUSH = 1000;

const ENDED_BY_DEATH: ReadonlySet<OutcomeKind> = new Set(["crashed", "suspected", "lost"]);

/**
 * A call is run alone after the first suspicion, so that the next one blames it, or nobody. But calls that it makes may
 * meet it in a thread again and again: so often, per time that it may crash, and then it counts as the one that kills.
 */
const MOST_SUSPICIONS = 3;

/**
 * Keeps the backlog of one runner, sends it in batches through a window, and knows of every call whether it waits, is
 * with a worker, or has settled. It alone sends a call again: brokers and workers only report that one was lost. Calls
 * that running calls make, at any depth, are its as well: see docs/adr/0004-nested-calls.md.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  #link!: RunnerLink;
  #capacity: Capacity = { workers: 0, slots: 0 };
  readonly #backlog = new Backlog<Entry>();
  /** Calls that running calls wait for: ahead of the backlog, or what has begun would never end. */
  readonly #nested = new Backlog<Entry>();
  /** Calls that were in a thread or process that died: each travels alone, ahead of all others. */
  readonly #suspects = new Queue<Entry>();
  /**
   * The crashes of calls of calls, by task run id. When such a call kills the thread in which the one that made it waits,
   * that one is run again and makes it again; it must not start from 0 each time.
   */
  readonly #nestedCrashes = new Map<string, { readonly crashes: number; readonly error: Error }>();
  readonly #outstanding = new Map<number, Entry>();
  readonly #batches = new Map<string, Set<number>>();
  readonly #durations = new Durations<TaskDefinition | string>();
  #outstandingMs = 0;
  /** Outstanding calls that wait for calls of their own: they keep no worker busy. */
  #parked = 0;
  #nextSequence = 0;
  #nextBatch = 0;
  #submitsThisTurn = 0;
  #isFlushPlanned = false;
  /** What is to be cancelled at the end of the turn, by batch. */
  #cancellations = new Map<string, number[]>();
  readonly #noWorkers: NoWorkersWatch;

  static async start(broker: Broker, options: DispatcherOptions): Promise<Dispatcher> {
    const dispatcher = new Dispatcher(options);
    dispatcher.#link = await broker.connectRunner({
      onReport: (report) => dispatcher.#onReport(report),
      onLost: (batchId, reason) => dispatcher.#onLost(batchId, reason),
      onWithdrawn: (batchId) => dispatcher.#onWithdrawn(batchId),
      onCapacity: (capacity) => dispatcher.#onCapacity(capacity),
    });
    return dispatcher;
  }

  private constructor(options: DispatcherOptions) {
    const { queue = DEFAULT_QUEUE, noWorkersTimeoutSeconds } = options;
    this.#options = options;
    this.#noWorkers = new NoWorkersWatch({
      queue,
      timeoutSeconds: noWorkersTimeoutSeconds,
      waiting: () => this.#unsettled,
      onTimeout: (error) => this.#giveUpAll(error),
    });
  }

  submit(call: Call): void {
    const entry = new LocalEntry(this.#nextSequence++, call);
    call.ticket = entry;
    this.#backlog.push(entry, entry.priority);
    if (++this.#submitsThisTurn >= SUBMITS_PER_FLUSH) this.#flush();
    else this.#planFlush();
  }

  /** @see RunnerSession.cancel */
  cancel(call: Call): void {
    if (call.ticket instanceof LocalEntry) this.#cancel(call.ticket);
  }

  /** Leaves the broker. Calls that have not settled never will: close when they have. */
  async close(): Promise<void> {
    this.#noWorkers.stop();
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
      if (this.#unsettled > 0) this.#noWorkers.start();
      return;
    }
    for (let entry = this.#suspects.shift(); entry !== undefined; entry = this.#suspects.shift())
      this.#send([entry]);
    for (;;) {
      const queue = this.#nested.top() ?? this.#backlog.top();
      if (queue === undefined) return;
      const count = planBatch({
        ...this.#capacity,
        outstandingCalls: this.#outstanding.size - this.#parked,
        outstandingMs: this.#outstandingMs,
        backlog: queue.size,
        expectedMs: (index) => this.#durations.expectedMs(queue.at(index).taskKey),
      });
      if (count === 0) return; // The window is full.
      this.#send(queue.take(count));
    }
  }

  #send(entries: readonly Entry[]): void {
    const batchId = `${this.#link.runnerId}.${this.#nextBatch++}`;
    const builder = new BatchBuilder(batchId, this.#link.runnerId);
    const sequences = new Set<number>();
    for (const entry of entries) {
      if (entry.isCancelled) continue; // It has settled, or is just about to.
      try {
        entry.addTo(builder);
      } catch (error) {
        // Its arguments cannot travel, or its module has no place in the project: that is this call's failure alone.
        // Later, since a runner never settles a call within its submit.
        queueMicrotask(() => entry.settle({ type: "threw", error, retriable: false }));
        continue;
      }
      entry.batchId = batchId;
      entry.costMs = costMs(this.#durations.expectedMs(entry.taskKey));
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
    for (const request of report.requests) this.#onRequest(report, request);
    for (const sequence of report.parked) this.#onParked(report.batchId, sequence);
    const observed = new Map<TaskDefinition | string, { calls: number; micros: number }>();
    for (const outcome of report.outcomes) {
      const entry = this.#outstanding.get(outcome.sequence);
      if (entry === undefined) continue; // Settled already, by another delivery: the first outcome won.
      if (ENDED_BY_DEATH.has(outcome.kind)) {
        if (entry.batchId === report.batchId) this.#died(entry, outcome);
        continue;
      }
      const { taskKey } = entry;
      let sum = observed.get(taskKey);
      if (sum === undefined) {
        sum = { calls: 0, micros: 0 };
        observed.set(taskKey, sum);
      }
      sum.calls++;
      sum.micros += outcome.durationMicros;
      this.#withdraw(entry);
      entry.settleRaw(outcome);
    }
    for (const [key, { calls, micros }] of observed) this.#durations.observe(key, calls, micros / 1000);
    this.#flush();
  }

  #onParked(batchId: string, sequence: number): void {
    const entry = this.#outstanding.get(sequence);
    if (entry?.batchId !== batchId) return;
    this.#changeParked(entry, () => {
      entry.isIdle = true;
    });
  }

  #onLost(batchId: string, reason: string): void {
    const lost = this.#entriesOf(batchId);
    const error = new WorkerLostError(reason);
    // One that waited for calls of its own is hardly to blame: it is rather one of those that ended the worker.
    for (const entry of lost) this.#crashed(entry, error, lost.length === 1 && !entry.isAwaitingAnswer);
    this.#planFlush();
  }

  /** The batch was taken back on behalf of some of its calls. */
  #onWithdrawn(batchId: string): void {
    const entries = this.#entriesOf(batchId);
    for (const entry of entries) this.#withdraw(entry);
    this.#sendAgain(entries);
  }

  #entriesOf(batchId: string): Entry[] {
    const sequences = [...(this.#batches.get(batchId) ?? [])];
    return sequences.flatMap((sequence) => this.#outstanding.get(sequence) ?? []);
  }

  #died(entry: Entry, { kind, payload }: RawOutcome): void {
    if (kind !== "lost") this.#crashed(entry, decodeError(payload) as Error, kind === "crashed");
    else {
      this.#withdraw(entry);
      this.#sendAgain([entry]);
    }
  }

  /** The call was, or may have been, in a thread or process when it died. @param isBlamed nothing else was in it */
  #crashed(entry: Entry, error: Error, isBlamed: boolean): void {
    this.#withdraw(entry);
    if (isBlamed) entry.crashes++;
    else entry.suspicions++;
    if (entry instanceof NestedEntry)
      this.#nestedCrashes.set(entry.taskRunId, { crashes: entry.crashes, error });
    const { crashes, suspicions, crashRetries } = entry;
    if (entry.isCancelled) entry.settle({ type: "cancelled" });
    else if (crashes > crashRetries || suspicions > MOST_SUSPICIONS * (crashRetries + 1))
      entry.settle({ type: "crashed", error });
    else this.#suspects.push(entry);
  }

  /** Calls that are none the worse for where they have been: ahead of those that wait. */
  #sendAgain(entries: readonly Entry[]): void {
    for (const entry of entries) if (entry.isCancelled) entry.settle({ type: "cancelled" });
    const others = entries.filter(({ isCancelled }) => !isCancelled);
    for (const entry of others.reverse()) {
      const queue = entry instanceof NestedEntry ? this.#nested : this.#backlog;
      queue.prepend(entry, entry.priority);
    }
    this.#planFlush();
  }

  /** Takes a call out of its batch and out of the window. What it asked for, nobody waits for any more. */
  #withdraw(entry: Entry): void {
    const batchId = entry.batchId as string;
    entry.batchId = undefined;
    this.#outstanding.delete(entry.sequence);
    if (entry.isParked) this.#parked--;
    else this.#outstandingMs -= entry.costMs;
    entry.isIdle = false;
    if (this.#outstanding.size === 0) this.#outstandingMs = 0; // Sums of fractions drift.
    if (entry.nested !== undefined) this.#abandonNested(entry);
    const batch = this.#batches.get(batchId);
    batch?.delete(entry.sequence);
    if (batch?.size === 0) {
      this.#batches.delete(batchId);
      this.#link.release(batchId);
    }
  }

  // ---- Calls of calls --------------------------------------------------------------------------------------------

  #onRequest({ batchId, workerId }: Report, { sequence, id, body }: CallRequest): void {
    const entry = this.#outstanding.get(sequence);
    if (entry?.batchId !== batchId) return; // It has ended meanwhile.
    let request: Request;
    try {
      request = decodeRequest(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      processLogger().error({ err: error }, "a request of a call could not be read and was left out");
      return;
    }
    entry.nested ??= { unanswered: 0, calls: new Map(), resources: new Map() };
    const { nested } = entry;
    if (request.type === "cancel") {
      nested.resources.get(request.id)?.();
      const call = nested.calls.get(request.id);
      if (call !== undefined) (call.lane ?? this).#cancel(call);
      return;
    }
    if (id > 0) this.#changeParked(entry, () => nested.unanswered++);
    const answer = (body: Uint8Array) => {
      if (entry.nested !== nested) return; // The call has ended meanwhile.
      this.#changeParked(entry, () => nested.unanswered--);
      this.#link.answer(workerId, { batchId, sequence, id, body });
    };
    if (request.type !== "submit") serveRequest(id, request, entry.services, nested, answer);
    else {
      const call = new NestedEntry(entry, request, (outcome) => {
        nested.calls.delete(id);
        answer(encodeOutcome(outcome));
      });
      nested.calls.set(id, call);
      const { laneOf } = this.#options;
      if (request.queue === "" || laneOf === undefined) this.#adopt(call);
      else
        laneOf(request.queue).then(
          (lane) => lane.#adopt(call),
          (error: Error) => call.settle({ type: "crashed", error }),
        );
    }
  }

  /** Takes on a call that a running call has made: here, or for another queue in another dispatcher of the flow run. */
  #adopt(call: NestedEntry): void {
    call.lane = this;
    call.sequence = this.#nextSequence++;
    if (call.isCancelled) return; // It has settled while its lane was opened.
    this.#planFlush();
    const known = this.#nestedCrashes.get(call.taskRunId);
    call.crashes = known?.crashes ?? 0;
    if (known === undefined || known.crashes <= call.crashRetries) this.#nested.push(call, call.priority);
    else queueMicrotask(() => call.settle({ type: "crashed", error: known.error }));
  }

  #changeParked(entry: Entry, change: () => void): void {
    const before = entry.isParked;
    change();
    if (entry.isParked === before) return;
    this.#parked += before ? -1 : 1;
    this.#outstandingMs += before ? entry.costMs : -entry.costMs;
  }

  #abandonNested(entry: Entry): void {
    const { calls, resources } = entry.nested as Nested;
    entry.nested = undefined; // First: nobody is answered any more.
    for (const call of calls.values()) (call.lane ?? this).#cancel(call);
    for (const end of [...resources.values()]) end();
  }

  #cancel(entry: Entry): void {
    if (entry.isCancelled || entry.isSettled) return;
    entry.isCancelled = true;
    const { batchId, sequence } = entry;
    if (batchId === undefined) {
      // It stays where it waits, and is left out when its turn comes.
      queueMicrotask(() => entry.isSettled || entry.settle({ type: "cancelled" }));
      return;
    }
    if (this.#cancellations.size === 0) queueMicrotask(() => this.#sendCancellations());
    const others = this.#cancellations.get(batchId);
    if (others === undefined) this.#cancellations.set(batchId, [sequence]);
    else others.push(sequence);
  }

  #sendCancellations(): void {
    const cancellations = this.#cancellations;
    this.#cancellations = new Map();
    for (const [batchId, sequences] of cancellations) this.#link.cancel(batchId, sequences);
  }

  // ---- Workers ---------------------------------------------------------------------------------------------------

  #onCapacity(capacity: Capacity): void {
    this.#capacity = capacity;
    if (capacity.slots > 0) this.#noWorkers.stop();
    this.#flush();
  }

  get #unsettled(): number {
    return this.#backlog.size + this.#nested.size + this.#suspects.size + this.#outstanding.size;
  }

  /** No worker came. Calls in the broker wait as well: their batches are not released, the link takes them out when it closes. */
  #giveUpAll(error: Error): void {
    const waiting = [...this.#nested.takeAll(), ...this.#backlog.takeAll()];
    const all = [...this.#outstanding.values(), ...this.#suspects.take(this.#suspects.size), ...waiting];
    this.#outstanding.clear();
    this.#outstandingMs = 0;
    this.#parked = 0;
    this.#batches.clear();
    for (const entry of all) {
      entry.batchId = undefined;
      entry.nested = undefined;
      if (!entry.isSettled)
        entry.settle(entry.isCancelled ? { type: "cancelled" } : { type: "crashed", error });
    }
  }
}
