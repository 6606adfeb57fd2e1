import type { Call, UpstreamRun } from "@millrace/core";
import { type TaskDefinition, writeLogLine } from "@millrace/core/internal";
import {
  type Broker,
  type Capacity,
  DEFAULT_QUEUE,
  type RunnerHandlers,
  type RunnerLink,
  type RunnerOwner,
} from "../broker.ts";
import { Values } from "../values/values.ts";
import type { CallValue } from "../wire/call-values.ts";
import type { Report } from "../wire/report.ts";
import { BatchChoice } from "./batch-choice.ts";
import { DEFAULT_BATCH_MS } from "./batch-plan.ts";
import { BatchSender } from "./batch-sender.ts";
import { DispatcherSurvey } from "./call-survey.ts";
import { Cancellations } from "./cancellations.ts";
import { DurationSums, Durations } from "./durations.ts";
import { type Entry, LocalEntry } from "./entries.ts";
import { Losses } from "./losses.ts";
import { NestedCalls } from "./nested-calls.ts";
import type { NestedEntry } from "./nested-entry.ts";
import { NoWorkersWatch } from "./no-workers-watch.ts";
import { Outstanding } from "./outstanding.ts";
import { type EndedCall, RemadeEntry } from "./remade-entry.ts";
import { streamWindow } from "./stream-window.ts";
import { taskKeyOf } from "./task-key.ts";
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

/**
 * Sends the calls of one runner in batches through a window, and knows of every call whether it waits, is with a worker, or
 * has settled. It alone sends a call again: brokers and workers only report that one was lost. Calls that running
 * calls make, at any depth, are its as well; and of calls that still wait for others it knows, so that they may travel with
 * those: see docs/adr/0005-subgraph-batches.md.
 */
export class Dispatcher {
  readonly #link: RunnerLink;
  /** What its calls need and return that is large. */
  readonly values: Values;
  readonly #queue: string;
  readonly #batchMs: number;
  readonly #waiting = new Waiting();
  readonly #outstanding = new Outstanding();
  readonly #durations = new Durations();
  readonly #nested: NestedCalls;
  readonly #sender: BatchSender;
  readonly #losses: Losses;
  readonly #cancellations: Cancellations;
  readonly #noWorkers: NoWorkersWatch;
  #nextSequence = 0;

  static async start(broker: Broker, options: DispatcherOptions): Promise<Dispatcher> {
    let dispatcher: Dispatcher | undefined;
    // Before the link is there, a broker may tell of workers; of anything else there is nothing to tell yet.
    let capacity: Capacity = { workers: 0, slots: 0 };
    const tell = (what: (to: Dispatcher) => void) => {
      if (dispatcher !== undefined) what(dispatcher);
    };
    const handlers: RunnerHandlers = {
      onReport: (report) => tell((to) => to.#onReport(report)),
      onLost: (lost) => tell((to) => to.#losses.onLost(lost)),
      onWithdrawn: (batchId) => tell((to) => to.#losses.onWithdrawn(batchId)),
      onUnavailable: (error) => tell((to) => to.#losses.giveUpAll(error)),
      onCapacity: (now) => {
        capacity = now;
        tell((to) => to.#onCapacity(now));
      },
    };
    const calls = () => (dispatcher === undefined ? 0 : dispatcher.#unsettled);
    const link = await broker.connectRunner(handlers, options.owner && { ...options.owner, calls });
    dispatcher = new Dispatcher(link, options);
    dispatcher.#onCapacity(capacity);
    return dispatcher;
  }

  private constructor(link: RunnerLink, options: DispatcherOptions) {
    const { queue = DEFAULT_QUEUE, batchMs = DEFAULT_BATCH_MS, noWorkersTimeoutSeconds, laneOf } = options;
    const [waiting, outstanding, durations] = [this.#waiting, this.#outstanding, this.#durations];
    this.#link = link;
    this.#queue = queue;
    this.#batchMs = batchMs;
    this.values = new Values(link.runnerId, link.values);
    this.#nested = new NestedCalls({ dispatcher: this, outstanding, laneOf });
    this.#cancellations = new Cancellations(link);
    this.#sender = new BatchSender({
      ...{ link, values: this.values, waiting, outstanding },
      choice: new BatchChoice({ batchMs, durations, outstanding }),
      onNoWorkers: () => {
        if (this.#unsettled > 0) this.#noWorkers.start();
      },
    });
    this.#losses = new Losses({
      ...{ waiting, outstanding, nested: this.#nested },
      withdraw: (entry) => this.#withdraw(entry),
      onWaiting: () => this.#sender.planFlush(),
    });
    this.#noWorkers = new NoWorkersWatch({
      queue,
      timeoutSeconds: noWorkersTimeoutSeconds,
      waiting: () => this.#unsettled,
      strangers: () => this.#sender.capacity.strangers ?? 0,
      findHelp: () => link.findHelp?.(),
      onTimeout: (error) => this.#losses.giveUpAll(error),
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
    this.#sender.submitted();
  }

  /** The run of a foreseen call has found that it may start. Perhaps it has, or has even ended. */
  #submitForeseen(entry: LocalEntry): void {
    entry.isSubmitted = true;
    const { early } = entry;
    if (early !== undefined) queueMicrotask(() => entry.deliver(early));
    else if (entry.batchId === undefined) this.#waiting.push(entry);
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
    entry.unreturned = unfinished.length;
    call.ticket = entry;
    for (const above of unfinished) {
      above.dependents ??= [];
      above.dependents.push(entry);
    }
  }

  /** @see RunnerSession.windowFor */
  windowFor(task: TaskDefinition): number {
    return streamWindow(
      this.#sender.capacity.slots,
      this.#batchMs,
      this.#durations.expectedMs(taskKeyOf(task)),
    );
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
    if (batchId === undefined && entry.isStillForeseen) entry.isSettled = true;
    entry.isCancelled = true;
    if (batchId !== undefined) this.#cancellations.add(batchId, sequence);
    // It stays where it waits, and is left out when its turn comes.
    else queueMicrotask(() => entry.isSettled || entry.settle({ type: "cancelled" }));
  }

  /** Takes on a call that a running call has made: of this dispatcher, or of another of the flow run. */
  adopt(call: NestedEntry): void {
    call.lane = this;
    call.sequence = this.#nextSequence++;
    if (call.isCancelled) return; // It has settled while its lane was opened.
    this.#sender.planFlush();
    const error = this.#nested.recall(call);
    if (error === undefined) this.#waiting.push(call);
    else queueMicrotask(() => call.settle({ type: "crashed", error }));
  }

  /** Executes a call that has ended again, ahead of others: its value is lost. @throws what it fails with */
  runAgain(ended: EndedCall): Promise<CallValue> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(new RemadeEntry(this, this.#nextSequence++, ended, resolve, reject));
      this.#sender.planFlush();
    });
  }

  /** A look at where its calls are. Never rejects. */
  survey(): Promise<DispatcherSurvey> {
    const { capacity } = this.#sender;
    const { restoring } = this.#losses;
    return DispatcherSurvey.take(
      {
        ...{ queue: this.#queue, capacity, restoring },
        ...{ waiting: this.#waiting, outstanding: this.#outstanding },
      },
      this.#link,
    );
  }

  /** Leaves the broker. Calls that have not settled never will: close when they have. */
  async close(): Promise<void> {
    this.#noWorkers.stop();
    this.#sender.stop();
    await this.values.close();
    await this.#link.close();
  }

  #onReport(report: Report): void {
    const { batchId } = report;
    this.#outstanding.reported(batchId);
    if (report.logs !== "") writeLogLine(report.logs); // Before the outcomes: a task's lines come before its end.
    for (const request of report.requests) this.#nested.onRequest(this.#link, report, request);
    for (const sequence of report.parked) this.#outstanding.onParked(batchId, sequence);
    for (const sequence of report.started) this.#outstanding.onStarted(batchId, sequence);
    const took = new DurationSums();
    const unstarted: Entry[] = [];
    for (const outcome of report.outcomes) {
      const entry = this.#outstanding.inBatch(batchId, outcome.sequence);
      if (entry === undefined) {
        if (outcome.reference !== undefined) this.values.discard(outcome.reference);
        continue;
      }
      switch (outcome.kind) {
        case "value-lost":
          void this.#losses.onValueLost(entry, outcome);
          break;
        case "unstarted":
          unstarted.push(entry);
          break;
        case "crashed":
        case "suspected":
        case "lost":
          this.#losses.onThreadDied(entry, outcome);
          break;
        default:
          took.add(entry.taskKey, outcome);
          this.#withdraw(entry);
          if (outcome.kind === "returned") this.#outstanding.onReturned(batchId, entry);
          entry.settleRaw(outcome);
      }
    }
    took.addTo(this.#durations);
    this.#losses.sendAgain(unstarted);
    this.#sender.flush();
  }

  /** Takes a call out of its batch and out of the window. What it asked for, nobody waits for any more. */
  #withdraw(entry: Entry): void {
    const batchId = entry.batchId as string;
    const isEmpty = this.#outstanding.remove(entry);
    this.#nested.abandon(entry);
    if (isEmpty) this.#link.release(batchId);
  }

  #onCapacity(capacity: Capacity): void {
    if (capacity.slots > 0) this.#noWorkers.stop();
    this.#sender.onCapacity(capacity);
  }

  get #unsettled(): number {
    return this.#waiting.size + this.#outstanding.size;
  }
}
