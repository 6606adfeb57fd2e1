import { Conditions } from "../../../test/support/conditions.ts";
import type {
  Broker,
  Capacity,
  Delivery,
  LostBatch,
  RunnerHandlers,
  RunnerLink,
  RunnerOwner,
  WorkerLink,
} from "../src/broker.ts";
import type { Batch } from "../src/wire/batch.ts";
import type { Report } from "../src/wire/report.ts";
import type { CallAnswer } from "../src/wire/worker-messages.ts";
import { sampleBatch, sampleReport } from "./samples.ts";

/** A runner that remembers what it was told, and can be waited for. */
export class TestRunner {
  readonly reports: Report[] = [];
  readonly lost: LostBatch[] = [];
  readonly withdrawn: string[] = [];
  readonly capacities: Capacity[] = [];
  readonly unavailable: Error[] = [];
  link!: RunnerLink;
  /** How often it was told something while it was in a call of its link, which must not be. */
  toldInside = 0;
  #isInside = false;
  readonly #conditions = new Conditions();

  static async join(broker: Broker, owner?: RunnerOwner): Promise<TestRunner> {
    const runner = new TestRunner();
    const handlers: RunnerHandlers = {
      onReport: (report) => {
        // As a dispatcher does once every call of a batch has an outcome. These batches have one call.
        if (report.outcomes.length > 0) runner.link.release(report.batchId);
        runner.#note(runner.reports, report);
      },
      onLost: (lost) => runner.#note(runner.lost, lost),
      onWithdrawn: (batchId) => runner.#note(runner.withdrawn, batchId),
      onCapacity: (capacity) => runner.#note(runner.capacities, capacity),
      onUnavailable: (error) => runner.#note(runner.unavailable, error),
    };
    runner.link = await broker.connectRunner(handlers, owner);
    return runner;
  }

  /** Sends a batch of one call. */
  send(args?: Uint8Array): Batch {
    const batch = sampleBatch(this.link.runnerId, args);
    this.#inside(() => this.link.send(batch));
    return batch;
  }

  /** Asks for the end of these calls. */
  cancel(batchId: string, ...sequences: number[]): void {
    this.#inside(() => this.link.cancel(batchId, sequences));
  }

  get lostIds(): string[] {
    return this.lost.map(({ batchId }) => batchId).sort();
  }

  /** Resolves when the condition holds; looks after everything that the runner is told. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition);
  }

  #inside(act: () => void): void {
    this.#isInside = true;
    act();
    this.#isInside = false;
  }

  #note<T>(list: T[], item: T): void {
    if (this.#isInside) this.toldInside++;
    list.push(item);
    this.#conditions.changed();
  }
}

let workers = 0;

/** A worker whose every step is a test's. */
export class TestWorker {
  readonly workerId: string;
  link!: WorkerLink;
  /** What the runners of its batches have said to it. */
  readonly cancelled: { batchId: string; sequences: readonly number[] }[] = [];
  readonly handBacks: string[] = [];
  readonly dropped: string[] = [];
  readonly answers: CallAnswer[] = [];
  readonly #conditions = new Conditions();

  static async join(broker: Broker, threads = 1, workerId = `worker-${++workers}`): Promise<TestWorker> {
    const worker = new TestWorker(workerId);
    worker.link = await broker.connectWorker(
      { workerId, threads },
      {
        onCancel: (batchId, sequences) => worker.#note(worker.cancelled, { batchId, sequences }),
        onHandBack: (batchId) => worker.#note(worker.handBacks, batchId),
        onDropped: (batchId) => worker.#note(worker.dropped, batchId),
        onAnswer: (answer) => worker.#note(worker.answers, answer),
      },
    );
    return worker;
  }

  private constructor(workerId: string) {
    this.workerId = workerId;
  }

  /** Resolves when the condition holds; looks after everything that the worker is told. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition);
  }

  #note<T>(list: T[], item: T): void {
    list.push(item);
    this.#conditions.changed();
  }

  /** Takes a batch, for which it waits. */
  async take(): Promise<Delivery> {
    const delivery = await this.link.take();
    if (delivery === undefined) throw new Error("Expected a batch, got the end.");
    return delivery;
  }

  /** Takes a batch, reports that its call returned, and finishes. */
  async serveOne(): Promise<Batch> {
    const delivery = await this.take();
    delivery.report(sampleReport(delivery.batch.id));
    delivery.finish();
    return delivery.batch;
  }

  /** Serves every batch until it takes no more; gives their ids in order. */
  async serveAll(): Promise<string[]> {
    const served: string[] = [];
    for (let delivery = await this.link.take(); delivery !== undefined; delivery = await this.link.take()) {
      served.push(delivery.batch.id);
      delivery.report(sampleReport(delivery.batch.id));
      delivery.finish();
    }
    return served;
  }
}
