import { type Batch, type CallAnswer, type EncodedReport, encodeReport } from "@millrace/broker";
import { encode } from "@millrace/core/internal";
import type { Executor } from "../src/executor.ts";

type OnReport = (report: EncodedReport, isLast: boolean) => void;

/** An executor whose batches end when a test says so. It has room for one at a time. */
export class GatedExecutor implements Executor {
  readonly threads = 3;
  readonly events: string[] = [];
  readonly #running = new Map<Batch, OnReport>();
  #waiting: (() => void)[] = [];

  async start(_workerId: string, modules: readonly string[] = []): Promise<void> {
    this.events.push(["start", ...modules].join(" "));
  }

  execute(batch: Batch, onReport: OnReport): void {
    this.events.push("execute");
    this.#running.set(batch, onReport);
    this.#changed();
  }

  cancel(batchId: string, sequences: readonly number[]): void {
    this.events.push(`cancel ${batchId} ${sequences}`);
  }

  answer({ id }: CallAnswer): void {
    this.events.push(`answer ${id}`);
  }

  hasRoom(): boolean {
    return this.#running.size === 0;
  }

  room(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await this.room();
  }

  quiet(): Promise<void> {
    return this.idle();
  }

  async close(): Promise<void> {
    this.events.push("close");
    for (const batch of this.#running.keys()) this.#endAll(batch, "lost");
    this.#changed();
  }

  /** The batch that runs; waits for it. */
  async running(): Promise<Batch> {
    while (this.#running.size === 0) await this.room();
    return [...this.#running.keys()][0]!;
  }

  handBack(): void {}

  /** Ends the calls of a batch, each in a report of its own. */
  end(batch: Batch): void {
    this.#endAll(batch, "returned");
    this.#changed();
  }

  #endAll(batch: Batch, kind: "returned" | "lost"): void {
    const onReport = this.#running.get(batch)!;
    this.#running.delete(batch);
    for (const [index, { sequence }] of batch.calls.entries()) {
      const payload = encode("done");
      const report = {
        batchId: batch.id,
        outcomes: [{ sequence, kind, durationMicros: 1, payload }],
        logs: "",
        requests: [],
        parked: [],
        started: [],
        workerId: "",
      };
      onReport({ report, bytes: encodeReport(report) }, index === batch.calls.length - 1);
    }
  }

  #changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
