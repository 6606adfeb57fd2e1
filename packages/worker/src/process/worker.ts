import { randomUUID } from "node:crypto";
import type { Batch, Broker, Delivery, WorkerLink } from "@millrace/broker";
import type { Executor } from "../executor.ts";
import { reportOf, unstartedOutcome } from "../executors/pending-call.ts";
import { AloneTurn } from "./alone-turn.ts";

export interface WorkerOptions {
  /** May be on its way: the executor starts meanwhile. */
  readonly broker: Broker | Promise<Broker>;
  readonly executor: Executor;
  /** Default: a random UUID. */
  readonly workerId?: string;
  /** Modules to load before the first call: paths relative to the project root. Default: none. */
  readonly modules?: readonly string[];
}

/**
 * Takes batches from a broker as its executor has room for them, and sends back how their calls ended. A process is
 * one worker; in the embedded mode a worker is only this object.
 *
 * running: takes and executes. stopping: takes no more, executes what it has. stopped: has left the broker.
 */
export class Worker {
  readonly workerId: string;
  readonly #link: WorkerLink;
  readonly #executor: Executor;
  readonly #early: EarlyCancellations;
  readonly #turn: AloneTurn;
  readonly #loop: Promise<void>;
  /** The batches that it executes. */
  readonly #held: Map<string, Batch>;
  #taking: Promise<void> = Promise.resolve();
  #isStopping = false;
  #stopped: Promise<void> | undefined;

  /** Starts the executor and joins the broker. @throws WorkerStartError, BrokerUnavailableError */
  static async start({
    broker,
    executor,
    workerId = randomUUID(),
    modules = [],
  }: WorkerOptions): Promise<Worker> {
    const early = new EarlyCancellations();
    const held = new Map<string, Batch>();
    const turn = new AloneTurn(() => executor.quiet());
    const cancel = (batchId: string, sequences: readonly number[]) => {
      executor.cancel(batchId, sequences);
      early.note(batchId, sequences);
      turn.askBack(batchId); // Its runner knows what was cancelled.
    };
    try {
      const [reached] = await Promise.all([broker, executor.start(workerId, modules)]);
      const link = await reached.connectWorker(
        { workerId, threads: executor.threads },
        {
          onCancel: cancel,
          onHandBack: (batchId) => {
            executor.handBack(batchId);
            turn.askBack(batchId);
          },
          // What is reported of them goes nowhere.
          onDropped: (batchId) =>
            cancel(batchId, held.get(batchId)?.calls.map(({ sequence }) => sequence) ?? []),
          onAnswer: (answer) => executor.answer(answer),
        },
      );
      return new Worker(workerId, link, executor, early, turn, held);
    } catch (error) {
      await executor.close();
      throw error;
    }
  }

  private constructor(
    workerId: string,
    link: WorkerLink,
    executor: Executor,
    early: EarlyCancellations,
    turn: AloneTurn,
    held: Map<string, Batch>,
  ) {
    this.#held = held;
    this.#turn = turn;
    this.workerId = workerId;
    this.#early = early;
    this.#link = link;
    this.#executor = executor;
    this.#loop = this.#run();
  }

  /**
   * Takes no more batches, hands back calls that have not started, waits up to `graceSeconds` for the others, and leaves. Calls
   * that did not end in time run again elsewhere. Never rejects; safe to call twice.
   */
  stop(graceSeconds: number): Promise<void> {
    this.#stopped ??= this.#stop(graceSeconds);
    return this.#stopped;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      if (!this.#executor.hasRoom()) {
        await this.#executor.room();
        continue;
      }
      this.#taking = this.#takeOne();
      await this.#taking;
    }
  }

  async #takeOne(): Promise<void> {
    const delivery = await this.#link.take();
    if (delivery !== undefined) this.#held.set(delivery.batch.id, delivery.batch);
    if (delivery?.batch.isAlone === true) await this.#executeAlone(delivery);
    else if (delivery !== undefined) this.#execute(delivery);
  }

  /**
   * One of its calls may kill the process. Nothing else computes here meanwhile, and the runner knows that it has begun: when the
   * process dies, it was that.
   */
  async #executeAlone(delivery: Delivery): Promise<void> {
    const { batch } = delivery;
    const isUnwanted = this.#isStopping || this.#early.of(batch.id) !== undefined;
    if (isUnwanted || !(await this.#turn.comes(batch.id))) {
      this.#giveBack(delivery);
      await after(GIVE_WAY_MS);
      return;
    }
    const started = batch.calls.map(({ sequence }) => sequence);
    delivery.report(reportOf({ batch }, { started }));
    await delivery.reported();
    this.#execute(delivery);
    await this.#executor.quiet();
  }

  /** Nothing of it has begun. */
  #giveBack(delivery: Delivery): void {
    const { batch } = delivery;
    const outcomes = batch.calls.map(({ sequence }) => unstartedOutcome(sequence));
    delivery.report(reportOf({ batch }, { outcomes }));
    this.#held.delete(batch.id);
    delivery.finish();
  }

  #execute(delivery: Delivery): void {
    const { id } = delivery.batch;
    this.#executor.execute(
      delivery.batch,
      (report, isLast) => {
        delivery.report(report);
        if (!isLast) return;
        this.#held.delete(id);
        delivery.finish();
      },
      delivery.fetch,
    );
    const cancelled = this.#early.of(id);
    if (cancelled !== undefined) this.#executor.cancel(id, cancelled);
  }

  /** In this order: nothing new comes in, what is there ends, the threads go, and only then does the worker sign off. */
  async #stop(graceSeconds: number): Promise<void> {
    this.#isStopping = true;
    this.#link.stopTaking();
    for (const batchId of this.#held.keys()) this.#turn.askBack(batchId);
    const grace = new AbortController();
    // A batch that was just being handed over is one of those that it has.
    const done = this.#taking.then(() => {
      for (const batchId of this.#held.keys()) this.#executor.handBack(batchId);
      return this.#executor.idle();
    });
    await Promise.race([done, after(graceSeconds * 1000, grace.signal)]);
    grace.abort();
    await this.#executor.close();
    await this.#loop;
    await this.#link.close();
    this.#early.close();
  }
}

/**
 * What was cancelled in batches that have not arrived yet: a runner may see that this worker holds a batch a moment
 * before the worker itself has it.
 */
class EarlyCancellations {
  readonly #sequences = new Map<string, readonly number[]>();
  readonly #timers = new Set<NodeJS.Timeout>();

  note(batchId: string, sequences: readonly number[]): void {
    this.#sequences.set(batchId, [...(this.of(batchId) ?? []), ...sequences]);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#sequences.delete(batchId);
    }, EARLY_MS).unref();
    this.#timers.add(timer);
  }

  of(batchId: string): readonly number[] | undefined {
    return this.#sequences.get(batchId);
  }

  /** No batch arrives any more. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}

/** Longer than any way from a lock that is set to the batch that comes with it. */
const EARLY_MS = 10_000;

/**
 * A batch that was given back is in the queue again after 2 to 4 ms. The worker that gave it takes no other before that, or it
 * would be as quick to take it as one that is quiet.
 */
const GIVE_WAY_MS = 10;

function after(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
