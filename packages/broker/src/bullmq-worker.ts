import { setTimeout as sleep } from "node:timers/promises";
import { DecodeError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import type { Delivery, WorkerHandlers, WorkerInfo, WorkerLink } from "./broker.ts";
import { type BatchJob, type BatchWorker, bytesOf, openWorker } from "./bullmq.ts";
import { isReference, type ValueReference } from "./call-values.ts";
import { LEASE_MS, LEASE_RENEWAL_MS, LEAVE_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { type CallAnswer, decodeBatch } from "./messages.ts";
import { doneWithin, type Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { ReportSender } from "./report-sender.ts";
import { encodeOutcome } from "./requests.ts";
import { StreamReader } from "./stream-reader.ts";
import { decodeWorkerMessage } from "./worker-messages.ts";
import type { WorkerRegistry } from "./worker-registry.ts";
import { WorkerValues } from "./worker-values.ts";

/** The wait after Redis refused to give a job, as it does while it loads its data. */
const TAKE_RETRY_MS = 200;

/**
 * A worker that has a batch waits so long for its end before it asks for another: if it comes, the next batch comes with the
 * answer to it. Short beside the work that threads have ahead, 2 to 4 ms.
 */
const FINISH_MS = 1;

/** A worker's link to the cluster behind a Redis. A lease is BullMQ's lock on the batch's job. */
export class BullMqWorker implements WorkerLink {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #worker: BatchWorker;
  readonly #workerId: string;
  readonly #held = new Map<string, BatchJob>();
  /** How many calls there are in those, for people who look. */
  #calls = 0;
  readonly #finishing = new Set<Promise<void>>();
  /** Deliveries that are finished when large values have been sent. */
  readonly #sending = new Set<Promise<void>>();
  readonly #store: RedisValues;
  readonly #values: WorkerValues;
  #withdraw!: () => Promise<void>;
  #inbox!: StreamReader;
  #renewalTimer: NodeJS.Timeout | undefined;
  #isTaking = true;
  /** The `take` that waits for the end of a batch. */
  #next: NextJob | undefined;
  /** The `take` that waits. */
  #taking: Promise<unknown> | undefined;
  #giveUp!: () => void;
  readonly #gaveUp = new Promise<undefined>((resolve) => {
    this.#giveUp = () => resolve(undefined);
  });
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    info: WorkerInfo,
    handlers: WorkerHandlers,
  ): Promise<BullMqWorker> {
    const worker = await openWorker(redis, keys, queueName);
    const link = new BullMqWorker(redis, keys, worker, info.workerId);
    // Before anybody can know of the worker: what is said to it must find the stream.
    link.#inbox = await StreamReader.open(redis, keys.inbox(info.workerId), (bytes) =>
      link.#hear(bytes, handlers),
    );
    link.#withdraw = await registry.announce(info, () => link.#calls);
    link.#renewalTimer = setInterval(() => void link.#renewLeases(), LEASE_RENEWAL_MS);
    return link;
  }

  private constructor(redis: Redis, keys: Keys, worker: BatchWorker, workerId: string) {
    this.#redis = redis;
    this.#keys = keys;
    this.#worker = worker;
    this.#workerId = workerId;
    this.#store = new RedisValues(redis, keys);
    this.#values = new WorkerValues(this.#store);
  }

  take(): Promise<Delivery | undefined> {
    const taking = this.#take().finally(() => {
      this.#taking = undefined;
    });
    this.#taking = taking;
    return Promise.race([taking, this.#gaveUp]);
  }

  async #take(): Promise<Delivery | undefined> {
    while (this.#isTaking) {
      // The worker's id is the lock's token: whoever looks at a lock knows who holds it.
      const job =
        (await this.#afterFinish()) ??
        (await this.#worker.getNextJob(this.#workerId).catch(() => sleep(TAKE_RETRY_MS)));
      if (job === undefined) continue;
      const delivery = this.#deliver(job);
      if (delivery !== undefined) return delivery;
    }
    return undefined;
  }

  /** The job that comes with the end of another; undefined when none ends soon, or none waits. */
  async #afterFinish(): Promise<BatchJob | undefined> {
    if (this.#held.size === 0) return undefined;
    const next = new NextJob();
    this.#next = next;
    const timer = setTimeout(() => this.#next === next && next.resolve(undefined), FINISH_MS);
    const job = await next.job;
    clearTimeout(timer);
    if (this.#next === next) this.#next = undefined;
    return job;
  }

  stopTaking(): void {
    if (!this.#isTaking) return;
    this.#isTaking = false;
    this.#next?.resolve(undefined);
    this.#next = undefined;
    if (this.#taking === undefined) return;
    // With Redis away, BullMQ does not give up.
    void doneWithin(LEAVE_MS, this.#taking).then(() => this.#giveUp());
    // Wakes a `take` that waits: BullMQ gives undefined when its blocking connection is cut, and connects again.
    void this.#worker
      .getBackend()
      .blockingClient?.then((client) => client.disconnect())
      .catch(ignore);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.stopTaking();
    await doneWithin(LEAVE_MS, Promise.resolve(this.#taking));
    clearInterval(this.#renewalTimer);
    await doneWithin(LEAVE_MS, Promise.all(this.#sending));
    // What is finished counts as finished before the worker counts as gone.
    await doneWithin(LEAVE_MS, Promise.all(this.#finishing));
    await doneWithin(LEAVE_MS, this.#withdraw());
    await doneWithin(LEAVE_MS, this.#inbox.close());
    this.#store.close();
    // `close()` without force waits for ever when Redis is away (bullmq issue 4656).
    await this.#worker.close(true).catch(ignore);
  }

  #deliver(job: BatchJob): Delivery | undefined {
    const jobId = job.id as string;
    this.#held.set(jobId, job);
    try {
      const batch = decodeBatch(bytesOf(job));
      const sender = new ReportSender({
        ...{ redis: this.#redis, replies: this.#keys.replies(batch.runnerId), runnerId: batch.runnerId },
        ...{ store: this.#store, values: this.#values },
      });
      this.#calls += batch.calls.length;
      return {
        batch,
        fetch: (reference) => this.#values.fetch(reference),
        report: (report) => sender.send(report),
        finish: () => {
          this.#calls -= batch.calls.length;
          this.#finish(jobId, sender.sending);
        },
      };
    } catch (error) {
      processLogger().error({ err: error, job: jobId }, "a batch could not be read and was dropped");
      this.#finish(jobId, undefined);
      return undefined;
    }
  }

  #hear(bytes: Uint8Array, handlers: WorkerHandlers): void {
    try {
      const message = decodeWorkerMessage(bytes);
      if (message.type === "cancel") handlers.onCancel(message.batchId, message.sequences);
      else if (message.type === "hand-back") handlers.onHandBack(message.batchId);
      else if (isReference(message.value)) void this.#hearLarge(message, message.value, handlers);
      else handlers.onAnswer(message);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      processLogger().error({ err: error }, "a message to this worker could not be read and was left out");
    }
  }

  /** An answer whose value is fetched first. One that is lost is made again when the call asks again. */
  async #hearLarge(answer: CallAnswer, reference: ValueReference, handlers: WorkerHandlers): Promise<void> {
    const value = await this.#values.fetch(reference);
    const { batchId, sequence, id } = answer;
    handlers.onAnswer(
      value === undefined
        ? { batchId, sequence, id, ...encodeOutcome({ kind: "value-lost", payload: new Uint8Array() }) }
        : { ...answer, value },
    );
  }

  /** When all has been reported. */
  #finish(jobId: string, sending: Promise<void> | undefined): void {
    if (sending === undefined) this.#finishNow(jobId);
    else {
      const sent = sending.then(() => this.#finishNow(jobId));
      this.#sending.add(sent);
      void sent.then(() => this.#sending.delete(sent));
    }
  }

  #finishNow(jobId: string): void {
    const job = this.#held.get(jobId);
    if (job === undefined) return;
    this.#held.delete(jobId);
    const next = this.#next;
    this.#next = undefined; // One finish takes the next job, and no other.
    // Fails when the lease was lost; then the runner has sent the calls again and ignores what we reported.
    const finished = this.#worker
      .finish(job, this.#workerId, next !== undefined)
      .catch(ignore)
      .then((nextJob) => next?.resolve(nextJob ?? undefined));
    this.#finishing.add(finished);
    void finished.then(() => this.#finishing.delete(finished));
  }

  async #renewLeases(): Promise<void> {
    const ids = [...this.#held.keys()];
    if (ids.length === 0) return;
    const tokens = ids.map(() => this.#workerId);
    await this.#worker.extendJobLocks(ids, tokens, LEASE_MS).catch(ignore);
  }
}

/** A job that may come with the end of another. */
class NextJob {
  resolve!: (job: BatchJob | undefined) => void;
  readonly job = new Promise<BatchJob | undefined>((resolve) => {
    this.resolve = resolve;
  });
}

function ignore(): void {}
