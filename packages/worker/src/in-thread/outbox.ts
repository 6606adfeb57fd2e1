import {
  type CallRequest,
  type EncodedReport,
  encodeReport,
  isReference,
  MOST_BATCH_BYTES,
  type RawOutcome,
  type Report,
} from "@millrace/broker";

export interface OutboxOptions {
  /** Of the worker: reports that ask something carry it. */
  readonly workerId: () => string;
  readonly send: (report: EncodedReport) => void;
  /** Gives the log lines written since it was last asked. */
  readonly takeLogs: () => string;
}

/**
 * Outcomes wait at most this long for company, when another call can start meanwhile. A report costs 0.1 to 0.2 ms of processor
 * time on its way through three processes: of 2,000 tasks of 1 ms through Redis, 0.755 of the ideal with 2, 0.735 with 1, and no
 * more with 3 (bench: throughput).
 */
const FLUSH_MS = 2;

/**
 * Gathers what has ended, was asked and was logged into reports. A report is of one batch, and ends at as many bytes as one does:
 * a loop that calls 4,500 tasks with 60 KB for each would make one of 270 MB, and a longer message than 256 MiB is refused.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #batchId = "";
  #outcomes: Report["outcomes"][number][] = [];
  #requests: CallRequest[] = [];
  #parked: number[] = [];
  /** What is in it, with what will go beside the message. */
  #sizeBytes = 0;
  #lastFlush = 0;
  #isFlushPlanned = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** From now on the next report is of this batch; what has gathered of another goes out first. */
  turnTo(batchId: string): void {
    if (this.#batchId === batchId) return;
    this.flush();
    this.#batchId = batchId;
  }

  ended(batchId: string, sequence: number, { kind, payload }: RawOutcome, durationMicros: number): void {
    this.turnTo(batchId);
    this.#makeRoomFor(payload.length);
    this.#outcomes.push({ sequence, kind, durationMicros, payload });
  }

  /** Goes out at the end of the turn, so that the calls of a loop of submits go up together. */
  ask(batchId: string, request: CallRequest): void {
    this.turnTo(batchId);
    this.flushSoon();
    let sizeBytes = request.body.length;
    for (const { value } of request.given) sizeBytes += isReference(value) ? 0 : value.length;
    this.#makeRoomFor(sizeBytes);
    this.#requests.push(request);
  }

  parked(batchId: string, sequence: number): void {
    this.turnTo(batchId);
    this.flushSoon();
    this.#parked.push(sequence);
  }

  /** What there is goes out at the end of this turn of the event loop. */
  flushSoon(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    setImmediate(this.#plannedFlush);
  }

  #makeRoomFor(partBytes: number): void {
    if (this.#sizeBytes > 0 && this.#sizeBytes + partBytes > MOST_BATCH_BYTES) this.flush();
    this.#sizeBytes += partBytes;
  }

  readonly #plannedFlush = () => {
    this.#isFlushPlanned = false;
    this.flush();
  };

  /** What has ended goes out before the next call starts, unless something went out only just now. */
  flushUnlessJustNow(): void {
    if (performance.now() - this.#lastFlush > FLUSH_MS) this.flush();
  }

  flush(): void {
    const logs = this.#options.takeLogs();
    this.#lastFlush = performance.now();
    const outcomes = this.#outcomes;
    const requests = this.#requests;
    const parked = this.#parked;
    if (outcomes.length + requests.length + parked.length === 0 && logs === "") return;
    const workerId = requests.length === 0 ? "" : this.#options.workerId();
    const report: Report = {
      ...{ batchId: this.#batchId, outcomes, logs, requests, parked, workerId },
      started: NONE, // Its process tells, should this thread take it along.
    };
    this.#outcomes = [];
    this.#requests = [];
    this.#parked = [];
    this.#sizeBytes = 0;
    const attachments: Uint8Array[] = [];
    const bytes = encodeReport(report, attachments);
    this.#options.send({ report, bytes, attachments });
  }
}

const NONE: readonly never[] = [];
