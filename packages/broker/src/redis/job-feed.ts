import { setTimeout as sleep } from "node:timers/promises";
import { LEAVE_MS } from "../intervals.ts";
import type { BatchJob, BatchWorker } from "./bullmq.ts";
import { doneWithin } from "./redis-connection.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** The wait after Redis refused to give a job, as it does while it loads its data. */
const TAKE_RETRY_MS = 200;

/**
 * A worker that has a batch waits so long for its end before it asks for another: if it comes, the next batch comes with the
 * answer to it. Short beside the work that threads have ahead, 8 ms: 2,000 tasks of 1 ms through Redis take 0.59 of the ideal with 1,
 * which is the least that a timer waits, 0.61 with 3 and 0.57 with 8 (bench: throughput).
 */
const FINISH_MS = 1;

/** Takes jobs from the queue, and ends them: in one command when it can. */
export class JobFeed {
  readonly #worker: BatchWorker;
  readonly #workerId: string;
  readonly #finishing = new Set<Promise<void>>();
  #isOpen = true;
  /** The `next` that waits for the end of a job. */
  #nextJob: NextJob | undefined;
  #waiting: Promise<BatchJob | undefined> | undefined;
  /** The jobs that were given by `next` and have not ended. */
  readonly #given = new Set<string>();
  readonly #gaveUp = new AbortController();
  readonly #onRefused: (error: unknown) => void;

  /**
   * @param workerId the token of its locks: whoever looks at a lock knows who holds it
   * @param onRefused Redis does not give a job: it is asked again
   */
  constructor(worker: BatchWorker, workerId: string, onRefused: (error: unknown) => void) {
    this.#onRefused = onRefused;
    this.#worker = worker;
    this.#workerId = workerId;
  }

  /** The next job; undefined once it is stopped. One call at a time. @param isBusy may one end soon? */
  next(isBusy: () => boolean): Promise<BatchJob | undefined> {
    const waiting = this.#take(isBusy).finally(() => {
      this.#waiting = undefined;
    });
    this.#waiting = waiting;
    return unlessAborted(waiting, this.#gaveUp.signal);
  }

  async #take(isBusy: () => boolean): Promise<BatchJob | undefined> {
    while (this.#isOpen) {
      const job =
        (isBusy() ? await this.#afterEnd() : undefined) ??
        (await this.#worker.getNextJob(this.#workerId).catch((error) => this.#refused(error)));
      if (job === undefined) continue;
      this.#given.add(job.id as string);
      return job;
    }
    return undefined;
  }

  async #refused(error: unknown): Promise<undefined> {
    this.#onRefused(error);
    await sleep(TAKE_RETRY_MS);
  }

  /** The job that comes with the end of another; undefined when none ends soon, or none waits. */
  async #afterEnd(): Promise<BatchJob | undefined> {
    const next = new NextJob();
    this.#nextJob = next;
    const timer = setTimeout(() => this.#nextJob === next && next.resolve(undefined), FINISH_MS);
    const job = await next.job;
    clearTimeout(timer);
    if (this.#nextJob === next) this.#nextJob = undefined;
    return job;
  }

  /** Has it been given, and not ended? */
  has(jobId: string): boolean {
    return this.#given.has(jobId);
  }

  /** The lease on it was lost: others end it. */
  forget(job: BatchJob): void {
    this.#given.delete(job.id as string);
  }

  /** Fails when the lease was lost; then the runner has sent the calls again and ignores what was reported. */
  end(job: BatchJob): void {
    const next = this.#nextJob;
    this.#nextJob = undefined; // One end takes the next job, and no other.
    const finished = this.#worker
      .finish(job, this.#workerId, next !== undefined)
      .catch(ignore)
      .then((nextJob) => next?.resolve(nextJob ?? undefined));
    this.#finishing.add(finished);
    void finished.then(() => {
      this.#finishing.delete(finished);
      this.forget(job);
    });
  }

  /** Resolves when all jobs that were ended have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#finishing);
  }

  /** Takes no more: a waiting `next` gives undefined. */
  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#nextJob?.resolve(undefined);
    this.#nextJob = undefined;
    if (this.#waiting === undefined) return;
    // With Redis away, BullMQ does not give up.
    void doneWithin(LEAVE_MS, this.#waiting).then(() => this.#gaveUp.abort());
    // Wakes a `next` that waits: BullMQ gives undefined when its blocking connection is cut, and connects again.
    void this.#worker
      .getBackend()
      .blockingClient?.then((client) => client.disconnect())
      .catch(ignore);
  }

  /** Resolves when nothing waits for a job. */
  async idle(): Promise<void> {
    await this.#waiting;
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
