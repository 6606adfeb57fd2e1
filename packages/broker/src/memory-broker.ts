import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { Queue } from "@millrace/core/internal";
import type { BatchPlace, BatchPlaces } from "./batch-place.ts";
import type {
  Broker,
  Capacity,
  Delivery,
  RunnerHandlers,
  RunnerLink,
  WorkerHandlers,
  WorkerInfo,
  WorkerLink,
} from "./broker.ts";
import type { Batch } from "./wire/batch.ts";
import type { EncodedReport } from "./wire/report.ts";
import type { CallAnswer } from "./wire/worker-messages.ts";

/**
 * The broker within one process: the embedded mode needs nothing but Node. Batches and reports are handed
 * over as they are; the values in them are bytes all the same, since threads share no objects.
 */
export class MemoryBroker implements Broker {
  readonly #runners = new Map<string, MemoryRunner>();
  readonly #workers = new Map<string, MemoryWorker>();
  readonly #waiting = new Queue<Batch>();

  async connectRunner(handlers: RunnerHandlers): Promise<RunnerLink> {
    const runner = new MemoryRunner(this, handlers);
    this.#runners.set(runner.runnerId, runner);
    queueMicrotask(() => runner.tell((to) => to.onCapacity(this.#capacity())));
    return runner;
  }

  async connectWorker(info: WorkerInfo, handlers: WorkerHandlers): Promise<WorkerLink> {
    const worker = new MemoryWorker(this, info, handlers);
    this.#workers.set(info.workerId, worker);
    this.#capacityChanged();
    return worker;
  }

  async close(): Promise<void> {
    this.#runners.clear();
    this.#workers.clear();
    this.#waiting.take(this.#waiting.size);
  }

  // ---- For the links ---------------------------------------------------------------------------------------------

  /** @internal */
  enqueue(batch: Batch): void {
    if (!this.#runners.has(batch.runnerId)) return;
    for (const worker of this.#workers.values()) if (worker.offer(batch)) return;
    this.#waiting.push(batch);
  }

  /** The oldest waiting batch whose runner is still there. @internal */
  next(): Batch | undefined {
    for (let batch = this.#waiting.shift(); batch !== undefined; batch = this.#waiting.shift()) {
      if (this.#runners.has(batch.runnerId)) return batch;
    }
    return undefined;
  }

  /** @internal */
  cancel(batchId: string, runnerId: string, sequences: readonly number[]): void {
    if (this.#waiting.remove((batch) => batch.id === batchId)) {
      this.#runners.get(runnerId)?.tell((to) => to.onWithdrawn(batchId));
      return;
    }
    for (const worker of this.#workers.values())
      if (worker.holds(batchId)) worker.handlers.onCancel(batchId, sequences);
  }

  /** @internal */
  place(batchId: string): BatchPlace | undefined {
    for (const [workerId, worker] of this.#workers)
      if (worker.holds(batchId))
        return { type: "held", workerId, worker: { host: hostname(), pid: process.pid }, since: undefined };
    for (const { id } of this.#waiting) if (id === batchId) return { type: "waiting" };
    return undefined;
  }

  /** @internal */
  handBack(batchId: string): void {
    for (const worker of this.#workers.values())
      if (worker.holds(batchId)) worker.handlers.onHandBack(batchId);
  }

  /** @internal */
  answer(workerId: string, answer: CallAnswer): void {
    this.#workers.get(workerId)?.handlers.onAnswer(answer);
  }

  /** @internal */
  deliverReport(runnerId: string, { report }: EncodedReport): void {
    this.#runners.get(runnerId)?.tell((to) => to.onReport(report));
  }

  /** @internal */
  leaveRunner(runnerId: string): void {
    this.#runners.delete(runnerId);
  }

  /** @internal */
  leaveWorker({ workerId }: WorkerInfo, unfinished: readonly Batch[]): void {
    if (!this.#workers.delete(workerId)) return;
    for (const { runnerId, id } of unfinished) {
      this.#runners.get(runnerId)?.tell((to) =>
        to.onLost({
          batchId: id,
          reason: `Worker ${workerId} left before it finished.`,
          hasWorkerDied: true,
        }),
      );
    }
    this.#capacityChanged();
  }

  #capacityChanged(): void {
    const capacity = this.#capacity();
    for (const runner of this.#runners.values()) runner.tell((to) => to.onCapacity(capacity));
  }

  #capacity(): Capacity {
    const workers = [...this.#workers.values()];
    return { workers: workers.length, slots: workers.reduce((sum, { info }) => sum + info.threads, 0) };
  }
}

class MemoryRunner implements RunnerLink {
  readonly runnerId = randomUUID();
  readonly #broker: MemoryBroker;
  readonly #handlers: RunnerHandlers;
  #isClosed = false;

  constructor(broker: MemoryBroker, handlers: RunnerHandlers) {
    this.#broker = broker;
    this.#handlers = handlers;
  }

  send(batch: Batch): void {
    queueMicrotask(() => this.#broker.enqueue(batch));
  }

  release(): void {}

  cancel(batchId: string, sequences: readonly number[]): void {
    queueMicrotask(() => this.#broker.cancel(batchId, this.runnerId, sequences));
  }

  handBack(batchId: string): void {
    queueMicrotask(() => this.#broker.handBack(batchId));
  }

  answer(workerId: string, answer: CallAnswer): void {
    queueMicrotask(() => this.#broker.answer(workerId, answer));
  }

  async locate(batchIds: readonly string[]): Promise<BatchPlaces> {
    await Promise.resolve(); // What was sent before is in the queue now.
    const found = batchIds.flatMap((id): [string, BatchPlace][] => {
      const place = this.#broker.place(id);
      return place === undefined ? [] : [[id, place]];
    });
    return { places: new Map(found) };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#broker.leaveRunner(this.runnerId);
  }

  tell(message: (handlers: RunnerHandlers) => void): void {
    if (!this.#isClosed) message(this.#handlers);
  }
}

class MemoryWorker implements WorkerLink {
  readonly info: WorkerInfo;
  readonly handlers: WorkerHandlers;
  readonly #broker: MemoryBroker;
  readonly #unfinished = new Set<Batch>();
  #taker: ((delivery: Delivery | undefined) => void) | undefined;
  #isTaking = true;

  constructor(broker: MemoryBroker, info: WorkerInfo, handlers: WorkerHandlers) {
    this.#broker = broker;
    this.info = info;
    this.handlers = handlers;
  }

  holds(batchId: string): boolean {
    for (const batch of this.#unfinished) if (batch.id === batchId) return true;
    return false;
  }

  take(): Promise<Delivery | undefined> {
    if (!this.#isTaking) return Promise.resolve(undefined);
    const batch = this.#broker.next();
    if (batch !== undefined) return Promise.resolve(this.#deliver(batch));
    return new Promise((resolve) => {
      this.#taker = resolve;
    });
  }

  /** Hands the batch to a `take` that waits. */
  offer(batch: Batch): boolean {
    const taker = this.#taker;
    if (taker === undefined) return false;
    this.#taker = undefined;
    taker(this.#deliver(batch));
    return true;
  }

  stopTaking(): void {
    this.#isTaking = false;
    this.#taker?.(undefined);
    this.#taker = undefined;
  }

  async close(): Promise<void> {
    this.stopTaking();
    this.#broker.leaveWorker(this.info, [...this.#unfinished]);
  }

  #deliver(batch: Batch): Delivery {
    this.#unfinished.add(batch);
    return {
      batch,
      report: (report) => this.#broker.deliverReport(batch.runnerId, report),
      reported: async () => {},
      finish: () => this.#unfinished.delete(batch),
    };
  }
}
