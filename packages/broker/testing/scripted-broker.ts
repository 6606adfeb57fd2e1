import { encode } from "@millrace/core/internal";
import type { Broker, RunnerHandlers, RunnerLink, WorkerLink } from "../src/broker.ts";
import type { Batch, CallOutcome, OutcomeKind } from "../src/messages.ts";

/** A broker without workers, for one runner: it keeps what is sent, and a test says what happens to it. */
export class ScriptedBroker implements Broker {
  readonly sent: Batch[] = [];
  readonly released: string[] = [];
  isLeft = false;
  #handlers!: RunnerHandlers;
  #waiting: (() => void) | undefined;

  async connectRunner(handlers: RunnerHandlers): Promise<RunnerLink> {
    this.#handlers = handlers;
    return {
      runnerId: "runner",
      send: (batch) => {
        this.sent.push(batch);
        this.#waiting?.();
      },
      release: (batchId) => void this.released.push(batchId),
      close: async () => {
        this.isLeft = true;
      },
    };
  }

  connectWorker(): Promise<WorkerLink> {
    throw new Error("Expected no worker: the test plays all of them.");
  }

  async close(): Promise<void> {}

  /** Resolves when so many batches have been sent, with the last of them. */
  async sends(batches: number): Promise<Batch> {
    while (this.sent.length < batches) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    return this.sent.at(-1)!;
  }

  // ---- What happens to the batches -------------------------------------------------------------------------------

  hasWorkers(workers: number, slots = workers): void {
    this.#handlers.onCapacity({ workers, slots });
  }

  reports({ id }: Batch, outcomes: readonly CallOutcome[], logs = ""): void {
    this.#handlers.onReport({ batchId: id, outcomes, logs });
  }

  /** Every call of the batch returns this, after so many milliseconds. */
  returns(batch: Batch, value: unknown, milliseconds = 1): void {
    this.reports(
      batch,
      batch.calls.map(({ sequence }) => outcome(sequence, "returned", value, milliseconds)),
    );
  }

  loses({ id }: Batch, reason = "Worker w died."): void {
    this.#handlers.onLost(id, reason);
  }
}

export function outcome(sequence: number, kind: OutcomeKind, value: unknown, milliseconds = 1): CallOutcome {
  return { sequence, kind, durationMicros: milliseconds * 1000, payload: encode(value) };
}
