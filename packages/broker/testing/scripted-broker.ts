import { encode } from "@millrace/core/internal";
import type { BatchPlaces } from "../src/batch-place.ts";
import type { Broker, RunnerHandlers, RunnerLink, WorkerLink } from "../src/broker.ts";
import type { Batch } from "../src/wire/batch.ts";
import type { CallOutcome, GivenValue, OutcomeKind, Report } from "../src/wire/report.ts";
import { encodeRequest, type Request } from "../src/wire/requests.ts";
import type { CallAnswer } from "../src/wire/worker-messages.ts";

/** A broker without workers, for one runner: it keeps what is sent, and a test says what happens to it. */
export class ScriptedBroker implements Broker {
  readonly sent: Batch[] = [];
  readonly released: string[] = [];
  readonly cancelled: { batchId: string; sequences: readonly number[] }[] = [];
  readonly handedBack: string[] = [];
  readonly answers: { workerId: string; answer: CallAnswer }[] = [];
  isLeft = false;
  /** What it says when it is asked where batches are. */
  places: BatchPlaces = { places: new Map() };
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
      cancel: (batchId, sequences) => {
        this.cancelled.push({ batchId, sequences });
        this.#waiting?.();
      },
      handBack: (batchId) => {
        this.handedBack.push(batchId);
        this.#waiting?.();
      },
      answer: (workerId, answer) => {
        this.answers.push({ workerId, answer });
        this.#waiting?.();
      },
      locate: async () => this.places,
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
  sends(batches: number): Promise<Batch> {
    return this.#counted(this.sent, batches);
  }

  /** The same for requests to cancel and to hand back, and for answers. */
  cancels(count: number): Promise<ScriptedBroker["cancelled"][number]> {
    return this.#counted(this.cancelled, count);
  }

  handsBack(count: number): Promise<string> {
    return this.#counted(this.handedBack, count);
  }

  async answered(count: number): Promise<CallAnswer> {
    return (await this.#counted(this.answers, count)).answer;
  }

  async #counted<T>(list: readonly T[], count: number): Promise<T> {
    while (list.length < count) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    return list.at(-1)!;
  }

  // ---- What happens to the batches -------------------------------------------------------------------------------

  hasWorkers(workers: number, slots = workers): void {
    this.#handlers.onCapacity({ workers, slots });
  }

  reports({ id }: Batch, outcomes: readonly CallOutcome[], logs = ""): void {
    this.#tell({ batchId: id, outcomes, logs });
  }

  /** Calls of the batch have begun, and go on. */
  starts({ id }: Batch, ...started: number[]): void {
    this.#tell({ batchId: id, started });
  }

  /** A call of the batch, in a worker, asks something. */
  asks(batch: Batch, sequence: number, id: number, request: Request, given?: readonly GivenValue[]): void {
    this.asksRaw(batch, sequence, id, encodeRequest(request), given);
  }

  asksRaw(
    { id: batchId }: Batch,
    sequence: number,
    id: number,
    body: Uint8Array,
    given: readonly GivenValue[] = [],
  ): void {
    const requests = [{ sequence, id, body, given }];
    this.#tell({ batchId, requests, workerId: "worker" });
  }

  #tell(report: Partial<Report> & Pick<Report, "batchId">): void {
    const none = { outcomes: [], logs: "", requests: [], parked: [], started: [], workerId: "" };
    this.#handlers.onReport({ ...none, ...report });
  }

  withdraws({ id }: Batch): void {
    this.#handlers.onWithdrawn(id);
  }

  /** Every call of the batch returns this, after so many milliseconds. */
  returns(batch: Batch, value: unknown, milliseconds = 1): void {
    this.reports(
      batch,
      batch.calls.map(({ sequence }) => outcome(sequence, "returned", value, milliseconds)),
    );
  }

  /** Redis has been away for too long. */
  isUnavailable(error: Error): void {
    this.#handlers.onUnavailable(error);
  }

  loses({ id }: Batch, reason = "Worker w died.", hasWorkerDied = true): void {
    this.#handlers.onLost({ batchId: id, reason, hasWorkerDied });
  }
}

export function outcome(sequence: number, kind: OutcomeKind, value: unknown, milliseconds = 1): CallOutcome {
  return { sequence, kind, durationMicros: milliseconds * 1000, payload: encode(value) };
}
