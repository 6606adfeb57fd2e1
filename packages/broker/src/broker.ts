import type { BatchPlaces } from "./batch-place.ts";
import type { ValueStore } from "./values/value-store.ts";
import type { Batch } from "./wire/batch.ts";
import type { ValueReference } from "./wire/call-values.ts";
import type { EncodedReport, Report } from "./wire/report.ts";
import type { CallAnswer } from "./wire/worker-messages.ts";

/**
 * The queue between the runners of flows and the workers of a cluster. Two implementations pass one contract suite
 * (testing/broker.contract.ts): BullMqBroker across machines, MemoryBroker within a process.
 *
 * Delivery is at least once, and the broker never sends a batch again on its own: it reports the batch as lost, and
 * the runner, which knows what is still unfinished, decides.
 */
export interface Broker {
  /** Joins as a runner: one that sends batches and reads reports. */
  connectRunner(handlers: RunnerHandlers, owner?: RunnerOwner): Promise<RunnerLink>;
  /** Joins as a worker: one that takes batches and sends reports. */
  connectWorker(worker: WorkerInfo, handlers: WorkerHandlers): Promise<WorkerLink>;
  /** Ends the broker, after its links are closed. Never rejects; safe to call twice. */
  close(): Promise<void>;
}

/** Whose calls a runner sends, for those who look at who uses a cluster. */
export interface RunnerOwner {
  readonly flowRunId: string;
  readonly flowName: string;
  /** How many calls it has that have not settled. */
  readonly calls: () => number;
}

/** What a runner wants to hear of. Called one at a time, never from inside a call of the link. */
export interface RunnerHandlers {
  onReport(report: Report): void;
  /** The batch will not be finished: its worker is gone, or it could not be stored. */
  onLost(lost: LostBatch): void;
  /** The batch was taken back before a worker had it: `cancel` asked for the end of some of its calls. */
  onWithdrawn(batchId: string): void;
  /** Workers came or went. */
  onCapacity(capacity: Capacity): void;
  /** The broker has been away for too long: calls that wait for it are to wait no more. */
  onUnavailable(error: Error): void;
}

export interface LostBatch {
  readonly batchId: string;
  /** As a sentence. */
  readonly reason: string;
  /** Did the worker die that had it, or was it cut off? Then one of its calls may be why. */
  readonly hasWorkerDied: boolean;
}

/** The live workers that serve the runner's queue. */
export interface Capacity {
  readonly workers: number;
  /** Threads of all of them together. */
  readonly slots: number;
  /** Live workers that have another secret, and so do not serve the runner. Left out: none. */
  readonly strangers?: number;
}

export interface RunnerLink {
  readonly runnerId: string;
  /** Where large values are kept. Left out: workers are handed the bytes. */
  readonly values?: ValueStore;
  /** Puts a batch into the queue. Returns at once; a failure arrives as a lost batch. */
  send(batch: Batch): void;
  /** Every call of the batch is accounted for: the broker may forget it. */
  release(batchId: string): void;
  /**
   * Asks for the end of some calls of a batch. When no worker has it yet, the whole batch is withdrawn; else its worker
   * is told.
   */
  cancel(batchId: string, sequences: readonly number[]): void;
  /** Asks whoever has the batch to hand back its calls that have not started. Without effect on one that waits. */
  handBack(batchId: string): void;
  /** Answers a request of a call, whose report named the worker. Lost when the worker is gone, or the batch is released. */
  answer(workerId: string, answer: CallAnswer): void;
  /** Looks at where batches are that were sent and not released. Never rejects. */
  locate(batchIds: readonly string[]): Promise<BatchPlaces>;
  /** What an operator needs who is to start a worker for the runner's queue. Left out: nobody can. Never rejects. */
  findHelp?(): Promise<WorkerHelp>;
  /** Leaves: nothing of the runner stays in the broker. Never rejects; safe to call twice. */
  close(): Promise<void>;
}

export interface WorkerHelp {
  /** The command that starts a worker for the queue. */
  readonly command: string;
  /** Queues of this and other namespaces that workers serve: one of them may be meant. */
  readonly elsewhere: readonly LiveQueue[];
}

/** A queue that workers serve. */
export interface LiveQueue {
  readonly namespace: string;
  readonly queue: string;
  readonly workers: number;
}

export interface WorkerInfo {
  readonly workerId: string;
  readonly threads: number;
}

/** What a worker wants to hear of: about batches that it has taken, or has just been given. Never from inside `take`. */
export interface WorkerHandlers {
  onCancel(batchId: string, sequences: readonly number[]): void;
  onHandBack(batchId: string): void;
  /** The right to run the batch is gone: its calls are to end, and nobody hears of them any more. */
  onDropped(batchId: string): void;
  onAnswer(answer: CallAnswer): void;
}

export interface WorkerLink {
  /** The next batch; waits for one. Undefined once the link takes no more. One call at a time. */
  take(): Promise<Delivery | undefined>;
  /** Takes no more batches: a waiting `take` gives undefined. What was taken can still be reported and finished. */
  stopTaking(): void;
  /** Leaves. Unfinished deliveries count as lost. Never rejects; safe to call twice. */
  close(): Promise<void>;
}

/** One hand-over of a batch to a worker, which holds the lease on it until it is finished. */
export interface Delivery {
  readonly batch: Batch;
  /** Gets a value that the batch refers to, in shared memory; undefined when it is lost. Left out: it refers to none. */
  readonly fetch?: FetchValue;
  /** Sends outcomes and logs to the batch's runner. In order. Never throws: a runner that is gone needs no report. */
  report(report: EncodedReport): void;
  /** Resolves when all that was reported reaches the runner, whatever becomes of the worker. Never rejects. */
  reported(): Promise<void>;
  /** Every call of the batch has been reported. */
  finish(): void;
}

/** At once when it is at hand. Never rejects. */
export type FetchValue = (reference: ValueReference) => Uint8Array | Promise<Uint8Array | undefined>;

/** The queue that runners and workers use unless told otherwise. */
export const DEFAULT_QUEUE = "default";
