import { DecodeError, SignatureError, ValueLostError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import type { Delivery, WorkerHandlers, WorkerInfo, WorkerLink } from "../broker.ts";
import { LEAVE_MS, RUNNER_LEASE_MS } from "../intervals.ts";
import { WorkerValues } from "../values/worker-values.ts";
import { type Batch, decodeBatch } from "../wire/batch.ts";
import { isReference, type ValueReference } from "../wire/call-values.ts";
import { encodeError } from "../wire/outcomes.ts";
import { encodeOutcome } from "../wire/requests.ts";
import { type CallAnswer, decodeWorkerMessage } from "../wire/worker-messages.ts";
import {
  type BatchJob,
  type BatchWorker,
  batchOf,
  checkQueue,
  openWorker,
  queueTypes,
  runnerOf,
} from "./bullmq.ts";
import { HeldBatches } from "./held-batches.ts";
import { JobFeed } from "./job-feed.ts";
import type { Keys } from "./keys.ts";
import { LogAllowance, LogAllowances } from "./log-allowance.ts";
import { removeOrphans } from "./orphans.ts";
import { Patience } from "./patience.ts";
import type { Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { Refusals } from "./refusals.ts";
import { ReportSender } from "./report-sender.ts";
import { RunnerWatch } from "./runner-watch.ts";
import type { Seal } from "./seal.ts";
import { StreamReader } from "./stream-reader.ts";
import { UnheardBatches } from "./unheard-batches.ts";
import { unlessAborted } from "./unless-aborted.ts";
import type { WorkerRegistry } from "./worker-registry.ts";
import { findWrongType, isWrongType } from "./wrong-type.ts";

/** How often a worker looks for batches that nobody has any more: a command that finds a few entries, if any. */
const ORPHANS_MS = RUNNER_LEASE_MS;

/** A worker's link to the cluster behind a Redis. A lease is BullMQ's lock on the batch's job. */
export class BullMqWorker implements WorkerLink {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #worker: BatchWorker;
  readonly #seal: Seal;
  readonly #refusals = new Refusals();
  readonly #workerId: string;
  readonly #handlers: WorkerHandlers;
  readonly #runners: RunnerWatch;
  readonly #feed: JobFeed;
  readonly #held: HeldBatches;
  readonly #unheard: UnheardBatches;
  /** Deliveries that are finished when their reports have been accepted. */
  readonly #finishing = new Set<Promise<void>>();
  readonly #store: RedisValues;
  readonly #values: WorkerValues;
  readonly #logs = new LogAllowances();
  #withdraw!: () => Promise<void>;
  #inbox!: StreamReader;
  #orphanTimer: NodeJS.Timeout | undefined;
  readonly #hasLeft = new AbortController();
  #isClosed = false;

  static async open(
    redis: Redis,
    keys: Keys,
    queueName: string,
    registry: WorkerRegistry,
    seal: Seal,
    info: WorkerInfo,
    handlers: WorkerHandlers,
  ): Promise<BullMqWorker> {
    await checkQueue(redis, keys, queueName);
    const worker = await openWorker(redis, keys, queueName);
    const link = new BullMqWorker(redis, keys, worker, seal, info.workerId, handlers);
    // Before anybody can know of the worker: what is said to it must find the stream.
    link.#inbox = await StreamReader.open({
      redis,
      key: keys.inbox(info.workerId),
      onMessage: (bytes) => link.#hear(bytes),
      onReset: () => void link.#held.renew(), // Runners have sent again what they had sent: it may be here no more.
    });
    link.#withdraw = await registry.announce(info, () => link.#held.calls);
    link.#runners.watch((runnerId) => link.#held.hasAnyOf(runnerId));
    const look = () => void removeOrphans(redis, keys, queueName).catch(ignore);
    look();
    link.#orphanTimer = setInterval(look, ORPHANS_MS);
    return link;
  }

  private constructor(
    redis: Redis,
    keys: Keys,
    worker: BatchWorker,
    seal: Seal,
    workerId: string,
    handlers: WorkerHandlers,
  ) {
    this.#handlers = handlers;
    this.#feed = new JobFeed(worker, workerId, (error) => this.#onRefused(error));
    const leaseOf = (jobId: string) => keys.lease(worker.name, jobId);
    this.#held = new HeldBatches(redis, workerId, leaseOf, ({ job }, isOver) => {
      if (isOver) this.#feed.end(job);
      else this.#feed.forget(job);
      handlers.onDropped(job.id as string); // Its calls end, and nobody hears of them any more.
    });
    this.#runners = new RunnerWatch(redis, keys, (runnerId) => this.#held.dropAllOf(runnerId));
    const isKnown = (batchId: string) => this.#feed.has(batchId);
    this.#unheard = new UnheardBatches({ redis, keys, queueName: worker.name, workerId, isKnown });
    this.#redis = redis;
    this.#keys = keys;
    this.#worker = worker;
    this.#seal = seal;
    this.#workerId = workerId;
    this.#store = new RedisValues(redis, keys, seal);
    this.#values = new WorkerValues(this.#store);
  }

  async take(): Promise<Delivery | undefined> {
    for (;;) {
      const job = await this.#feed.next(() => this.#held.size > 0);
      const delivery = job && (await unlessAborted(this.#deliver(job), this.#hasLeft.signal));
      if (job === undefined || delivery !== undefined) return delivery;
    }
  }

  stopTaking(): void {
    this.#feed.stop();
    setTimeout(() => this.#hasLeft.abort(), LEAVE_MS).unref(); // With Redis away, nobody says whether a runner is alive.
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.stopTaking();
    const patience = new Patience(LEAVE_MS);
    await patience.done(this.#feed.idle());
    this.#held.close();
    this.#unheard.close();
    clearInterval(this.#orphanTimer);
    this.#runners.close();
    await patience.done(Promise.all(this.#finishing));
    // What is finished counts as finished before the worker counts as gone.
    await patience.done(this.#feed.ended());
    await patience.done(this.#withdraw());
    await patience.done(this.#inbox.close());
    this.#store.close();
    // `close()` without force waits for ever when Redis is away (bullmq issue 4656).
    await this.#worker.close(true).catch(ignore);
  }

  async #deliver(job: BatchJob): Promise<Delivery | undefined> {
    const jobId = job.id as string;
    const takenAt = performance.now();
    let batch: Batch;
    try {
      const bytes = await this.#bytesOf(job);
      if (bytes === undefined) return this.#drop(job, "it is not where it was kept");
      batch = decodeBatch(bytes);
      // The executor knows batches by their ids: under a job of another id, one would come twice at once.
      if (batch.id !== jobId) throw new DecodeError(`a batch with the id of its job, ${jobId}`, batch.id);
    } catch (error) {
      this.#refusals.note("a batch could not be read and was dropped", error, { job: jobId });
      this.#feed.end(job);
      return undefined;
    }
    const { runnerId } = batch;
    const isAlive = this.#runners.isAlive(runnerId);
    if (isAlive !== true && !(await isAlive.catch(() => true)))
      return this.#drop(job, "its flow's process is gone");
    this.#held.add({ job, runnerId, calls: batch.calls.length, renewedAt: takenAt });
    const replies = this.#keys.replies(runnerId);
    const sender = new ReportSender({
      ...{ redis: this.#redis, replies, runnerId, seal: this.#seal },
      logs: this.#logs.of(runnerId, () => new LogAllowance(this.#redis, replies)),
      ...{ store: this.#store, values: this.#values, isWanted: () => this.#held.has(jobId) },
    });
    return {
      batch,
      fetch: (reference) => this.#values.fetch(reference),
      report: (report) => {
        if (this.#held.has(jobId)) sender.send(report);
      },
      reported: () => sender.appended(),
      finish: () => this.#finish(jobId, sender.appended()),
    };
  }

  /** Undefined: it is kept and not there, as when its runner has left, or Redis has lost its data; then the runner sends it again. */
  async #bytesOf(job: BatchJob): Promise<Uint8Array | undefined> {
    const batch = batchOf(job);
    if (isReference(batch)) return this.#store.readBytes(batch).catch(() => undefined);
    const key = this.#keys.job(this.#worker.name, job.id as string);
    return this.#seal.verify(batch, { kind: "batch", key });
  }

  #drop(job: BatchJob, why: string): undefined {
    processLogger().warn({ job: job.id, runner: runnerOf(job.id as string) }, `a batch was dropped: ${why}`);
    this.#feed.end(job);
  }

  /** Redis gives no batch: it is away, or loads its data, which its operators know. What somebody else has done, they may not. */
  async #onRefused(error: unknown): Promise<void> {
    if (!isWrongType(error)) return;
    const named = await findWrongType(this.#redis, queueTypes(this.#keys, this.#worker.name));
    this.#refusals.note("no batch can be taken from the queue", named ?? error);
  }

  #hear(bytes: Uint8Array): void {
    const handlers = this.#handlers;
    try {
      const key = this.#keys.inbox(this.#workerId);
      const message = decodeWorkerMessage(this.#seal.verify(bytes, { kind: "to-worker", key }));
      if (message.type === "cancel") handlers.onCancel(message.batchId, message.sequences);
      else if (message.type === "hand-back") handlers.onHandBack(message.batchId);
      else if (isReference(message.value)) void this.#hearLarge(message, message.value);
      else handlers.onAnswer(message);
    } catch (error) {
      if (!(error instanceof DecodeError || error instanceof SignatureError)) throw error;
      this.#refusals.note("a message to this worker could not be read and was left out", error);
    }
  }

  /** An answer whose value is fetched first. One that is lost is made again when the call asks again. */
  async #hearLarge(answer: CallAnswer, reference: ValueReference): Promise<void> {
    const value = await this.#values.fetch(reference);
    const { batchId, sequence, id } = answer;
    this.#handlers.onAnswer(
      value === undefined
        ? { batchId, sequence, id, ...encodeOutcome({ kind: "value-lost", payload: lostError(reference) }) }
        : { ...answer, value, isKept: true },
    );
  }

  /** When all has been reported: a job that is gone has told everything. */
  #finish(jobId: string, reported: Promise<void>): void {
    const finished = reported.then(() => {
      this.#finishing.delete(finished);
      const held = this.#held.remove(jobId);
      if (held !== undefined) this.#feed.end(held.job); // Else the lease was lost.
    });
    this.#finishing.add(finished);
  }
}

function lostError({ sizeBytes }: ValueReference): Uint8Array {
  return encodeError(new ValueLostError(sizeBytes, "the worker that needs it did not find it"));
}

function ignore(): void {}
