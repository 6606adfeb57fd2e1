import { type Call, type UpstreamRun, WorkerLostError } from "@millrace/core";
import { type Queue, type TaskDefinition, writeLogLine } from "@millrace/core/internal";
import { BatchBuilder } from "./batch-builder.ts";
import { costMs, DEFAULT_BATCH_MS, planBatch } from "./batch-plan.ts";
import { blame } from "./blame.ts";
import {
  type Broker,
  type Capacity,
  DEFAULT_QUEUE,
  type LostBatch,
  type RunnerHandlers,
  type RunnerLink,
  type RunnerOwner,
} from "./broker.ts";
import { DispatcherSurvey } from "./call-survey.ts";
import type { CallValue } from "./call-values.ts";
import { Durations } from "./durations.ts";
import { type Entry, LocalEntry, NestedEntry } from "./entries.ts";
import { HAND_BACK_AFTER_MS, planHandBack } from "./hand-back.ts";
import { NestedCalls } from "./nested-calls.ts";
import { NoWorkersWatch } from "./no-workers-watch.ts";
import { decodeError, type RawOutcome } from "./outcomes.ts";
import { Outstanding } from "./outstanding.ts";
import { type EndedCall, RemadeEntry } from "./remade-entry.ts";
import type { OutcomeKind, Report } from "./report.ts";
import { streamWindow } from "./stream-window.ts";
import { growBatch } from "./subgraph.ts";
import { Values } from "./values.ts";
import { Waiting } from "./waiting.ts";

export interface DispatcherOptions {
  /** For messages. */
  readonly queue?: string;
  /** Whose calls these are. */
  readonly owner?: Omit<RunnerOwner, "calls">;
  /** Gives the dispatcher of the flow run for another queue. Left out: calls of all queues come here. */
  readonly laneOf?: (queue: string) => Promise<Dispatcher>;
  /** How long calls may wait while no worker serves the queue, before they end CRASHED. */
  readonly noWorkersTimeoutSeconds: number;
  /** Work per thread that a batch aims at. Default: 4. */
  readonly batchMs?: number | undefined;
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
 * Sends the calls of one runner in batches through a window, and knows of every call whether it waits, is with a worker, or
 * has settled. It alone sends a call again: brokers and workers only report that one was lost. Calls that running
 * calls make, at any depth, are its as well; and of calls that still wait for others it knows, so that they may travel with
 * those: see docs/adr/0005-subgraph-batches.md.
 */
export class Dispatcher {
  #link!: RunnerLink;
  /** What its calls need and return that is large. */
  values!: Values;
  #capacity: Capacity = { workers: 0, slots: 0 };
  readonly #waiting = new Waiting();
  readonly #outstanding = new Outstanding();
  readonly #nested: NestedCalls;
  readonly #durations = new Durations<TaskDefinition | string>();
  readonly #batchMs: number;
  #nextSequence = 0;
  #nextBatch = 0;
  #submitsThisTurn = 0;
  #isFlushPlanned = false;
  /** What is to be cancelled at the end of the turn, by batch. */
  #cancellations = new Map<string, number[]>();
  readonly #noWorkers: NoWorkersWatch;
  /** Calls that wait for a lost value to be made again. */
  readonly #restoring = new Set<Entry>();
  readonly #queue: string;
  #handBackTimer: NodeJS.Timeout | undefined;

  static async start(broker: Broker, options: DispatcherOptions): Promise<Dispatcher> {
    const dispatcher = new Dispatcher(options);
    const owner = options.owner && { ...options.owner, calls: () => dispatcher.#unsettled };
    const handlers: RunnerHandlers = {
      onReport: (report) => dispatcher.#onReport(report),
      onLost: (lost) => dispatcher.#onLost(lost),
      onWithdrawn: (batchId) => dispatcher.#onWithdrawn(batchId),
      onCapacity: (capacity) => dispatcher.#onCapacity(capacity),
      onUnavailable: (error) => dispatcher.#giveUpAll(error),
    };
    dispatcher.#link = await broker.connectRunner(handlers, owner);
    dispatcher.values = new Values(dispatcher.#link.runnerId, dispatcher.#link.values);
    return dispatcher;
  }

  private constructor({
    queue = DEFAULT_QUEUE,
    noWorkersTimeoutSeconds,
    laneOf,
    batchMs,
  }: DispatcherOptions) {
    this.#queue = queue;
    this.#batchMs = batchMs ?? DEFAULT_BATCH_MS;
    this.#nested = new NestedCalls({ dispatcher: this, outstanding: this.#outstanding, laneOf });
    this.#noWorkers = new NoWorkersWatch({
      queue,
      timeoutSeconds: noWorkersTimeoutSeconds,
      waiting: () => this.#unsettled,
      strangers: () => this.#capacity.strangers ?? 0,
      findHelp: () => this.#link.findHelp?.(),
      onTimeout: (error) => this.#giveUpAll(error),
    });
  }

  submit(call: Call): void {
    const known = call.ticket instanceof LocalEntry ? call.ticket : undefined;
    if (known?.isSubmitted === false) this.#submitForeseen(known);
    else {
      const entry = new LocalEntry(this, this.#nextSequence++, call);
      entry.dependents = known?.dependents; // It is tried again, and the same calls wait for it.
      call.ticket = entry;
      this.#waiting.push(entry);
    }
    if (++this.#submitsThisTurn >= SUBMITS_PER_FLUSH) this.#flush();
    else this.#planFlush();
  }

  /** @see RunnerSession.foresee */
  foresee(call: Call, upstream: readonly UpstreamRun[]): void {
    const unfinished: LocalEntry[] = [];
    for (const run of upstream) {
      if (run.isFinal()) continue;
      if (!(run.ticket instanceof LocalEntry) || run.ticket.dispatcher !== this) return; // It will be submitted when it is ready.
      unfinished.push(run.ticket);
    }
    const entry = new LocalEntry(this, this.#nextSequence++, call, upstream);
    call.ticket = entry;
    for (const above of unfinished) {
      above.dependents ??= [];
      above.dependents.push(entry);
    }
  }

  /** @see RunnerSession.windowFor */
  windowFor(task: TaskDefinition): number {
    return streamWindow(this.#capacity.slots, this.#batchMs, this.#durations.expectedMs(task));
  }

  /** @see RunnerSession.cancel */
  cancel(call: Call): boolean {
    if (!(call.ticket instanceof LocalEntry)) return false;
    const { isSubmitted, isSettled, batchId } = call.ticket;
    this.cancelEntry(call.ticket);
    return isSubmitted || (batchId !== undefined && !isSettled);
  }

  cancelEntry(entry: Entry): void {
    if (entry.isCancelled || entry.isSettled) return;
    const { batchId, sequence } = entry;
    if (batchId === undefined && isStillForeseen(entry)) entry.isSettled = true;
    entry.isCancelled = true;
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

  /** Takes on a call that a running call has made: of this dispatcher, or of another of the flow run. */
  adopt(call: NestedEntry): void {
    call.lane = this;
    call.sequence = this.#nextSequence++;
    if (call.isCancelled) return; // It has settled while its lane was opened.
    this.#planFlush();
    const error = this.#nested.recall(call);
    if (error === undefined) this.#waiting.push(call);
    else queueMicrotask(() => call.settle({ type: "crashed", error }));
  }

  /** Executes a call that has ended again, ahead of others: its value is lost. @throws what it fails with */
  runAgain(ended: EndedCall): Promise<CallValue> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(new RemadeEntry(this, this.#nextSequence++, ended, resolve, reject));
      this.#planFlush();
    });
  }

  /** A look at where its calls are. Never rejects. */
  survey(): Promise<DispatcherSurvey> {
    return DispatcherSurvey.take(
      {
        ...{ queue: this.#queue, capacity: this.#capacity, restoring: this.#restoring },
        ...{ waiting: this.#waiting, outstanding: this.#outstanding },
      },
      this.#link,
    );
  }

  /** Leaves the broker. Calls that have not settled never will: close when they have. */
  async close(): Promise<void> {
    this.#noWorkers.stop();
    clearTimeout(this.#handBackTimer);
    await this.values.close();
    await this.#link.close();
  }

  // ---- Out -------------------------------------------------------------------------------------------------------

  /** The run of a foreseen call has found that it may start. Perhaps it has, or has even ended. */
  #submitForeseen(entry: LocalEntry): void {
    entry.isSubmitted = true;
    const { early } = entry;
    if (early !== undefined) queueMicrotask(() => entry.deliver(early));
    else if (entry.batchId === undefined) this.#waiting.push(entry);
  }

  #planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    const flush = () => {
      this.#isFlushPlanned = false;
      this.#flush();
    };
    // Idle workers wait for the first call only until those that are submitted beside it are there.
    if (this.#outstanding.size === 0) queueMicrotask(flush);
    else setImmediate(flush);
  }

  /** Sends batches until the window is full. */
  #flush(): void {
    this.#submitsThisTurn = 0;
    if (this.#capacity.slots === 0) {
      if (this.#unsettled > 0) this.#noWorkers.start();
      return;
    }
    for (let entry = this.#waiting.nextAlone(); entry !== undefined; entry = this.#waiting.nextAlone())
      this.#send([entry], true);
    for (let queue = this.#waiting.next(); queue !== undefined; queue = this.#waiting.next()) {
      const entries = this.#nextBatchOf(queue);
      if (entries.length === 0) break; // The window is full.
      this.#send(entries);
    }
    this.#watchForHandBacks();
  }

  #nextBatchOf(queue: Queue<Entry>): readonly Entry[] {
    const { busyCalls, busyMs } = this.#outstanding;
    const count = planBatch({
      ...this.#capacity,
      batchMs: this.#batchMs,
      outstandingCalls: busyCalls,
      outstandingMs: busyMs,
      backlog: queue.size,
      expectedMs: (index) => this.#durations.expectedMs(queue.at(index).taskKey),
      hasDependents: (index) => dependentsOf(queue.at(index)) !== undefined,
    });
    if (count === 0) return [];
    const seeds = queue.take(count);
    const { priority } = seeds[0] as Entry;
    return growBatch<Entry>(seeds, {
      ...this.#capacity,
      dependentsOf,
      waitsFor: (entry) =>
        entry.priority === priority ? (entry as LocalEntry).unfinished()?.length : undefined,
      costMs: (entry) => this.#costMs(entry),
    });
  }

  #costMs({ taskKey }: Entry): number {
    return costMs(this.#durations.expectedMs(taskKey), this.#batchMs);
  }

  #send(entries: readonly Entry[], isAlone = false): void {
    const batchId = `${this.#link.runnerId}.${this.#nextBatch++}`;
    const builder = new BatchBuilder(batchId, this.#link.runnerId, this.values);
    const sent: Entry[] = [];
    for (const entry of entries) {
      if (entry.isCancelled) continue; // It has settled, or is just about to.
      const above = entry instanceof LocalEntry ? (entry.unfinished() ?? []) : [];
      if (above.some(({ batchId: its }) => its !== batchId)) continue; // What it waits for could not be sent.
      try {
        entry.addTo(builder);
      } catch (error) {
        // Its arguments cannot travel, or its module has no place in the project: that is this call's failure alone.
        // Later, since a runner never settles a call within its submit.
        queueMicrotask(() => entry.settle({ type: "threw", error, retriable: false }));
        continue;
      }
      entry.batchId = batchId;
      entry.blockedBy = above.length;
      entry.costMs = this.#costMs(entry);
      sent.push(entry);
    }
    if (sent.length === 0) return;
    this.#outstanding.add(batchId, sent, performance.now());
    this.#link.send(builder.batch(isAlone));
  }

  /** Batches may be slower than was thought, and keep calls from workers that have nothing to do. */
  #watchForHandBacks(): void {
    if (this.#handBackTimer !== undefined || this.#capacity.workers < 2 || this.#outstanding.size < 2) return;
    this.#handBackTimer = setTimeout(() => {
      this.#handBackTimer = undefined;
      const now = performance.now();
      const hasBacklog = this.#waiting.size > 0;
      const batches = this.#outstanding.batches();
      for (const batchId of planHandBack({ ...this.#capacity, hasBacklog, batches, now })) {
        this.#outstanding.asked(batchId, now);
        this.#link.handBack(batchId);
      }
      this.#watchForHandBacks();
    }, HAND_BACK_AFTER_MS);
  }

  // ---- In --------------------------------------------------------------------------------------------------------

  #onReport(report: Report): void {
    const { batchId } = report;
    this.#outstanding.reported(batchId);
    if (report.logs !== "") writeLogLine(report.logs); // Before the outcomes: a task's lines come before its end.
    for (const request of report.requests) this.#nested.onRequest(this.#link, report, request);
    for (const sequence of report.parked) this.#onParked(batchId, sequence);
    for (const sequence of report.started) this.#onStarted(batchId, sequence);
    const observed = new Map<TaskDefinition | string, { calls: number; micros: number }>();
    const unstarted: Entry[] = [];
    for (const outcome of report.outcomes) {
      const entry = this.#outstanding.get(outcome.sequence);
      if (entry?.batchId !== batchId) {
        // Settled already, or sent again: who has lost a delivery has no more say in it.
        if (outcome.reference !== undefined) this.values.discard(outcome.reference);
        continue;
      }
      if (outcome.kind === "value-lost") {
        void this.#valueLost(entry, outcome);
        continue;
      }
      if (outcome.kind === "unstarted" || ENDED_BY_DEATH.has(outcome.kind)) {
        if (outcome.kind === "unstarted") unstarted.push(entry);
        else this.#died(entry, outcome);
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
      if (outcome.kind === "returned") this.#unblock(entry, batchId);
      entry.settleRaw(outcome);
    }
    for (const [key, { calls, micros }] of observed) this.#durations.observe(key, calls, micros / 1000);
    this.#sendAgain(unstarted);
    this.#flush();
  }

  /** A call could not begin, since a value that it needs is gone. It is sent again when that is there again. */
  async #valueLost(entry: Entry, { payload }: RawOutcome): Promise<void> {
    this.#withdraw(entry);
    const lost = [...(entry.needs ?? [])].find(({ id }) => id === Buffer.from(payload).toString());
    this.#restoring.add(entry);
    try {
      if (lost !== undefined) await lost.values.restore(lost);
    } catch (error) {
      if (!entry.isSettled) entry.settle({ type: "crashed", error: error as Error });
      return;
    } finally {
      this.#restoring.delete(entry);
    }
    if (!entry.isSettled) this.#sendAgain([entry]);
  }

  /** Calls of the same batch may start now. */
  #unblock(entry: Entry, batchId: string): void {
    for (const dependent of dependentsOf(entry) ?? [])
      if (dependent.batchId === batchId)
        this.#outstanding.changeParked(dependent, () => {
          dependent.blockedBy--;
        });
  }

  #onParked(batchId: string, sequence: number): void {
    const entry = this.#outstanding.get(sequence);
    if (entry?.batchId !== batchId) return;
    this.#outstanding.changeParked(entry, () => {
      entry.isIdle = true;
    });
  }

  #onStarted(batchId: string, sequence: number): void {
    const entry = this.#outstanding.get(sequence);
    if (entry?.batchId === batchId) entry.hasStarted = true;
  }

  #onLost({ batchId, reason, hasWorkerDied }: LostBatch): void {
    const calls = this.#outstanding.of(batchId);
    const { blamed, suspects, others } = hasWorkerDied
      ? blame(calls)
      : { blamed: [], suspects: [], others: calls };
    const error = new WorkerLostError(reason);
    for (const entry of blamed) this.#crashed(entry, error, true);
    for (const entry of suspects) this.#crashed(entry, error, false);
    if (hasWorkerDied) {
      for (const entry of others) {
        entry.losses++;
        if (entry instanceof NestedEntry) this.#nested.record(entry, error);
      }
    }
    this.#sendAgain(others);
    this.#planFlush();
  }

  /** The batch was taken back on behalf of some of its calls. */
  #onWithdrawn(batchId: string): void {
    this.#sendAgain(this.#outstanding.of(batchId));
  }

  #died(entry: Entry, { kind, payload }: RawOutcome): void {
    if (kind !== "lost") this.#crashed(entry, decodeError(payload) as Error, kind === "crashed");
    else this.#sendAgain([entry]);
  }

  /** The call was, or may have been, in a thread or process when it died. @param isBlamed nothing else was in it */
  #crashed(entry: Entry, error: Error, isBlamed: boolean): void {
    this.#withdraw(entry);
    if (isStillForeseen(entry)) return; // It cannot have begun.
    if (isBlamed) entry.crashes++;
    else entry.suspicions++;
    entry.isAlone = true;
    if (entry instanceof NestedEntry) this.#nested.record(entry, error);
    const { crashes, suspicions, crashRetries } = entry;
    if (entry.isCancelled) entry.settle({ type: "cancelled" });
    else if (crashes > crashRetries || suspicions > MOST_SUSPICIONS * (crashRetries + 1))
      entry.settle({ type: "crashed", error });
    else this.#waiting.push(entry);
  }

  /** Calls that are none the worse for where they have been: ahead of those that wait. */
  #sendAgain(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (entry.batchId !== undefined) this.#withdraw(entry);
      if (entry.isCancelled) entry.settle({ type: "cancelled" });
    }
    // What is only foreseen goes with what it waits for, or is submitted when that has ended.
    this.#waiting.prepend(entries.filter((entry) => !entry.isCancelled && !isStillForeseen(entry)));
    this.#planFlush();
  }

  /** Takes a call out of its batch and out of the window. What it asked for, nobody waits for any more. */
  #withdraw(entry: Entry): void {
    const batchId = entry.batchId as string;
    const isEmpty = this.#outstanding.remove(entry);
    this.#nested.abandon(entry);
    if (isEmpty) this.#link.release(batchId);
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
    return this.#waiting.size + this.#outstanding.size;
  }

  /** No worker came, or the broker is away. Calls in the broker wait as well: their batches are not released, the link takes them out when it closes. */
  #giveUpAll(error: Error): void {
    for (const entry of [...this.#outstanding.takeAll(), ...this.#waiting.takeAll()]) {
      entry.nested = undefined;
      if (!entry.isSettled && !isStillForeseen(entry))
        entry.settle(entry.isCancelled ? { type: "cancelled" } : { type: "crashed", error });
    }
  }
}

function dependentsOf(entry: Entry): readonly LocalEntry[] | undefined {
  return entry instanceof LocalEntry ? entry.dependents : undefined;
}

/** Does nobody wait for its outcome yet? */
function isStillForeseen(entry: Entry): boolean {
  return entry instanceof LocalEntry && !entry.isSubmitted && !entry.isCancelled;
}
