import { setTimeout as sleep } from "node:timers/promises";
import { DecodeError, SignatureError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import type { Delivery, WorkerHandlers, WorkerInfo, WorkerLink } from "./broker.ts";
import { type BatchJob, type BatchWorker, bytesOf, openWorker } from "./bullmq.ts";
import { isReference, type ValueReference } from "./call-values.ts";
import { LEASE_MS, LEASE_RENEWAL_MS, LEAVE_MS, RUNNER_LEASE_MS } from "./intervals.ts";
import type { Keys } from "./keys.ts";
import { type Batch, type CallAnswer, decodeBatch } from "./messages.ts";
import { removeOrphans } from "./orphans.ts";
import { doneWithin, type Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { Refusals } from "./refusals.ts";
import { ReportSender } from "./report-sender.ts";
import { encodeOutcome } from "./requests.ts";
import { RunnerWatch } from "./runner-watch.ts";
import type { Seal } from "./seal.ts";
import { StreamReader } from "./stream-reader.ts";
import { decodeWorkerMessage } from "./worker-messages.ts";
import type { WorkerRegistry } from "./worker-registry.ts";
import { WorkerValues } from "./worker-values.ts";

/** How often a worker looks for batches that nobody has any more: a command that finds a few entries, if any. */
const ORPHANS_MS = RUNNER_LEASE_MS;

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
  readonly #seal: Seal;
  readonly #refusals = new Refusals();
  readonly #workerId: string;
  readonly #handlers: WorkerHandlers;
  readonly #runners: RunnerWatch;
  readonly #held = new Map<string, HeldJob>();
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
  #orphanTimer: NodeJS.Timeout | undefined;
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
    seal: Seal,
    info: WorkerInfo,
    handlers: WorkerHandlers,
  ): Promise<BullMqWorker> {
    const worker = await openWorker(redis, keys, queueName);
    const link = new BullMqWorker(redis, keys, worker, seal, info.workerId, handlers);
    // Before anybody can know of the worker: what is said to it must find the stream.
    link.#inbox = await StreamReader.open({
      redis,
      key: keys.inbox(info.workerId),
      onMessage: (bytes) => link.#hear(bytes),
      onReset: () => void link.#renewLeases(), // Runners have sent again what they had sent: it may be here no more.
    });
    link.#withdraw = await registry.announce(info, () => link.#calls);
    link.#renewalTimer = setInterval(() => void link.#renewLeases(), LEASE_RENEWAL_MS);
    link.#runners.watch((runnerId) => link.#heldOf(runnerId).length > 0);
    link.#orphanTimer = setInterval(
      () => void removeOrphans(redis, keys, queueName).catch(ignore),
      ORPHANS_MS,
    );
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
    this.#runners = new RunnerWatch(redis, keys, (runnerId) => {
      for (const held of this.#heldOf(runnerId)) this.#drop(held, true);
    });
    this.#redis = redis;
    this.#keys = keys;
    this.#worker = worker;
    this.#seal = seal;
    this.#workerId = workerId;
    this.#store = new RedisValues(redis, keys, seal);
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
      const delivery = await this.#deliver(job);
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
    clearInterval(this.#orphanTimer);
    this.#runners.close();
    await doneWithin(LEAVE_MS, Promise.all(this.#sending));
    // What is finished counts as finished before the worker counts as gone.
    await doneWithin(LEAVE_MS, Promise.all(this.#finishing));
    await doneWithin(LEAVE_MS, this.#withdraw());
    await doneWithin(LEAVE_MS, this.#inbox.close());
    this.#store.close();
    // `close()` without force waits for ever when Redis is away (bullmq issue 4656).
    await this.#worker.close(true).catch(ignore);
  }

  async #deliver(job: BatchJob): Promise<Delivery | undefined> {
    const jobId = job.id as string;
    const takenAt = performance.now();
    let batch: Batch;
    try {
      const key = this.#keys.job(this.#worker.name, jobId);
      batch = decodeBatch(this.#seal.verify(bytesOf(job), { kind: "batch", key }));
      // The executor knows batches by their ids: under a job of another id, one would come twice at once.
      if (batch.id !== jobId) throw new DecodeError(`a batch with the id of its job, ${jobId}`, batch.id);
    } catch (error) {
      this.#refusals.note("a batch could not be read and was dropped", error, { job: jobId });
      this.#end(job);
      return undefined;
    }
    const { runnerId } = batch;
    const isAlive = this.#runners.isAlive(runnerId);
    if (isAlive !== true && !(await isAlive.catch(() => true))) {
      processLogger().warn(
        { job: jobId, runner: runnerId },
        "a batch was dropped: its flow's process is gone",
      );
      this.#end(job);
      return undefined;
    }
    const held = { job, runnerId, calls: batch.calls.length, renewedAt: takenAt };
    this.#held.set(jobId, held);
    this.#calls += held.calls;
    const sender = new ReportSender({
      ...{ redis: this.#redis, replies: this.#keys.replies(runnerId), runnerId, seal: this.#seal },
      ...{ store: this.#store, values: this.#values },
    });
    return {
      batch,
      fetch: (reference) => this.#values.fetch(reference),
      report: (report) => {
        if (this.#held.has(jobId)) sender.send(report);
      },
      reported: () => sender.appended(),
      finish: () => this.#finish(jobId, sender.sending),
    };
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
    const held = this.#held.get(jobId);
    if (held === undefined) return; // The lease was lost.
    this.#forget(held);
    this.#end(held.job);
  }

  #end(job: BatchJob): void {
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

  // ---- The right to run what it has --------------------------------------------------------------------------------

  /** A lease lasts until its time is over, by the clock here, or Redis says that somebody else has it, or nobody. */
  async #renewLeases(): Promise<void> {
    const now = performance.now();
    for (const held of this.#held.values()) if (now - held.renewedAt > LEASE_MS) this.#drop(held, false);
    const ids = [...this.#held.keys()];
    if (ids.length === 0) return;
    const tokens = ids.map(() => this.#workerId);
    const lost = new Set(await this.#worker.extendJobLocks(ids, tokens, LEASE_MS).catch(() => ids));
    for (const id of ids) {
      const held = this.#held.get(id);
      if (held === undefined) continue;
      if (!lost.has(id)) held.renewedAt = now;
      else if (this.#redis.status === "ready") this.#drop(held, false);
    }
  }

  #forget({ job, calls }: HeldJob): void {
    if (this.#held.delete(job.id as string)) this.#calls -= calls;
  }

  #heldOf(runnerId: string): HeldJob[] {
    return [...this.#held.values()].filter((held) => held.runnerId === runnerId);
  }

  /** Its calls end, and nobody hears of them any more. @param isOver nobody else is to run it either */
  #drop(held: HeldJob, isOver: boolean): void {
    const { job, runnerId } = held;
    const jobId = job.id as string;
    this.#forget(held);
    const why = isOver ? "its flow's process is gone" : "the lease on it was lost";
    processLogger().warn({ job: jobId, runner: runnerId }, `a batch was dropped: ${why}`);
    if (isOver) this.#end(job);
    this.#handlers.onDropped(jobId);
  }
}

/** A job whose lease this worker has. */
interface HeldJob {
  readonly job: BatchJob;
  readonly runnerId: string;
  readonly calls: number;
  /** When the lease was last known to be held, on the clock of `performance.now()`. */
  renewedAt: number;
}

/** A job that may come with the end of another. */
class NextJob {
  resolve!: (job: BatchJob | undefined) => void;
  readonly job = new Promise<BatchJob | undefined>((resolve) => {
    this.resolve = resolve;
  });
}

function ignore(): void {}
