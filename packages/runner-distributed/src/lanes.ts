import { type Broker, Dispatcher, LEAST_STREAM_WINDOW_CALLS, surveyOf } from "@millrace/broker";
import type { Call, CallSurvey, SessionOwner, UpstreamRun } from "@millrace/core";
import type { DistantValue, TaskDefinition } from "@millrace/core/internal";

export interface LanesOptions {
  readonly broker: Broker;
  /** The queue of calls whose task names none. */
  readonly queue: string;
  /** Gives the broker of another queue. Left out: the workers serve all queues. */
  readonly brokerOf?: (queue: string) => Broker;
  readonly noWorkersTimeoutSeconds: number;
  readonly batchMs: number | undefined;
  /** The flow run. */
  readonly owner: SessionOwner;
}

/** The dispatchers of one flow run: one for each queue that its tasks name. */
export class Lanes {
  readonly #options: LanesOptions;
  #main!: Dispatcher;
  readonly #others = new Map<string, Promise<Dispatcher>>();
  /** Those of them that are open. */
  readonly #opened = new Map<string, Dispatcher>();

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    this.#main = await this.#start(this.#options.broker, this.#options.queue);
  }

  submit(call: Call): void {
    const other = this.#otherFor(call.task);
    if (other === undefined) this.#main.submit(call);
    else
      other.then(
        (lane) => lane.submit(call),
        (error: Error) => call.settle({ type: "crashed", error }),
      );
  }

  /** A call for another lane is left to be submitted when it can start. */
  foresee(call: Call, upstream: readonly UpstreamRun[]): void {
    if (this.#otherFor(call.task) === undefined) this.#main.foresee(call, upstream);
  }

  /** Lanes have their values in one place. */
  forwards(value: DistantValue): boolean {
    return this.#main.values.forwards(value);
  }

  cancel(call: Call): boolean {
    const other = this.#otherFor(call.task);
    if (other === undefined) return this.#main.cancel(call);
    other.then(
      (lane) => lane.cancel(call),
      () => {}, // It has crashed.
    );
    return true; // It was submitted: calls for other lanes are not foreseen.
  }

  /** Each lane has its own workers, and its own calls to learn from. One that is still opening knows of no worker. */
  windowFor(task: TaskDefinition): number {
    if (this.#otherFor(task) === undefined) return this.#main.windowFor(task);
    return this.#opened.get(task.queue as string)?.windowFor(task) ?? LEAST_STREAM_WINDOW_CALLS;
  }

  /** @see RunnerSession.survey */
  async survey(): Promise<CallSurvey> {
    const lanes = [this.#main, ...this.#opened.values()];
    const surveys = await Promise.all(lanes.map(async (lane) => [lane, await lane.survey()] as const));
    return surveyOf(new Map(surveys), (call) =>
      this.#otherFor(call.task) === undefined || this.#opened.has(call.task.queue as string)
        ? undefined
        : call.task.queue,
    );
  }

  async close(): Promise<void> {
    // At once: where Redis is away, each takes all its patience.
    const others = [...this.#others.values()].map((lane) =>
      lane.then((open) => open.close()).catch(() => {}),
    );
    await Promise.all([this.#main.close(), ...others]);
  }

  #otherFor({ queue }: TaskDefinition): Promise<Dispatcher> | undefined {
    if (queue === undefined || queue === this.#options.queue || this.#options.brokerOf === undefined)
      return undefined;
    return this.#laneOf(queue);
  }

  #laneOf(queue: string): Promise<Dispatcher> {
    if (queue === this.#options.queue) return Promise.resolve(this.#main);
    let lane = this.#others.get(queue);
    if (lane === undefined) {
      lane = this.#start(this.#options.brokerOf?.(queue) as Broker, queue);
      this.#others.set(queue, lane);
      lane.then(
        (open) => this.#opened.set(queue, open),
        () => {}, // Its calls crash.
      );
    }
    return lane;
  }

  #start(broker: Broker, queue: string): Promise<Dispatcher> {
    const { noWorkersTimeoutSeconds, batchMs, brokerOf, owner } = this.#options;
    const laneOf = (other: string) => this.#laneOf(other);
    return Dispatcher.start(broker, {
      queue,
      owner,
      noWorkersTimeoutSeconds,
      batchMs,
      ...(brokerOf !== undefined && { laneOf }),
    });
  }
}
