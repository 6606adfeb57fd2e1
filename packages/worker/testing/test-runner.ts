import type { Batch, Broker, Capacity, LostBatch, Report, RunnerLink } from "@millrace/broker";
import { Conditions } from "../../../test/support/conditions.ts";

/** A runner that remembers what it was told, and can be waited for. */
export class TestRunner {
  readonly reports: Report[] = [];
  readonly lost: LostBatch[] = [];
  capacity: Capacity = { workers: 0, slots: 0 };
  link!: RunnerLink;
  readonly #conditions = new Conditions();

  static async join(broker: Broker): Promise<TestRunner> {
    const runner = new TestRunner();
    runner.link = await broker.connectRunner({
      onReport: (report) => runner.#note(() => runner.reports.push(report)),
      onLost: (lost) => runner.#note(() => runner.lost.push(lost)),
      onWithdrawn: () => {},
      onUnavailable: () => {},
      onCapacity: (capacity) =>
        runner.#note(() => {
          runner.capacity = capacity;
        }),
    });
    return runner;
  }

  /** Sends the batch as one of this runner's own. */
  send(batch: Batch): Batch {
    const own = { ...batch, id: `${this.link.runnerId}.${batch.id}`, runnerId: this.link.runnerId };
    this.link.send(own);
    return own;
  }

  /** Resolves when the condition holds; looks after everything that the runner is told. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition);
  }

  /** Resolves when every call of the batch has an outcome. */
  async answered(batch: Batch): Promise<Report["outcomes"]> {
    const outcomes = () =>
      this.reports.filter(({ batchId }) => batchId === batch.id).flatMap((report) => report.outcomes);
    await this.until(() => outcomes().length === batch.calls.length);
    this.link.release(batch.id);
    return outcomes();
  }

  #note(take: () => unknown): void {
    take();
    this.#conditions.changed();
  }
}
