import { randomUUID } from "node:crypto";
import { INLINE_LIMIT_BYTES } from "./call-values.ts";
import { checkPartFits } from "./message-fields.ts";
import { encodeError } from "./outcomes.ts";
import { type Redis, untilAccepted } from "./redis-connection.ts";
import { type CallOutcome, type EncodedReport, encodeReport } from "./report.ts";
import type { Seal } from "./seal.ts";
import { appendToStream } from "./stream-reader.ts";
import { checkFits, type ValueStore } from "./value-store.ts";
import type { WorkerValues } from "./worker-values.ts";

export interface ReportSenderOptions {
  readonly redis: Redis;
  /** The runner's stream. */
  readonly replies: string;
  readonly runnerId: string;
  readonly seal: Seal;
  readonly store: ValueStore;
  readonly values: WorkerValues;
}

/**
 * Sends the reports of one delivery, in their order. A report with large values waits until these are kept, which another
 * connection does, and one that Redis refuses until it is accepted; those behind it wait with it.
 */
export class ReportSender {
  readonly #options: ReportSenderOptions;
  /** Reports that wait; undefined: none does, and the next is sent at once. */
  #waiting: Promise<void> | undefined;
  #lastSent: Promise<unknown> = Promise.resolve();

  constructor(options: ReportSenderOptions) {
    this.#options = options;
  }

  send(report: EncodedReport): void {
    const { attachments = [] } = report;
    if (attachments.length > 0) {
      const kept = this.#withReferences(report);
      this.#behindOthers(async () => this.#appendWithValues(await kept));
    } else if (this.#waiting !== undefined) this.#behindOthers(() => this.#append(report.bytes));
    else {
      this.#lastSent = this.#tryToAppend(report.bytes).catch(() =>
        this.#behindOthers(() => this.#append(report.bytes)),
      );
    }
  }

  /** Resolves when Redis has all that was sent. */
  async appended(): Promise<void> {
    await this.#lastSent;
    await this.#waiting;
  }

  #behindOthers(send: () => Promise<unknown>): void {
    const sent: Promise<void> = (this.#waiting ?? Promise.resolve()).then(send).then(() => {
      if (this.#waiting === sent) this.#waiting = undefined;
    });
    this.#waiting = sent;
  }

  async #appendWithValues({ bytes, outcomes }: { bytes: Uint8Array; outcomes: readonly CallOutcome[] }) {
    if (await this.#append(bytes)) return;
    // The runner is gone, and so are its values, but for what was written only now.
    for (const { reference } of outcomes) if (reference !== undefined) this.#options.store.remove(reference);
  }

  /** Until Redis accepts it; true as well when the connection is closed for good. */
  #append(bytes: Uint8Array): Promise<boolean> {
    return untilAccepted(this.#options.redis, () => this.#tryToAppend(bytes)).catch(() => true);
  }

  #tryToAppend(bytes: Uint8Array): Promise<boolean> {
    const { redis, replies, seal } = this.#options;
    return appendToStream(redis, replies, seal.sign(bytes, { kind: "report", key: replies }));
  }

  async #withReferences({ report, bytes, attachments = [] }: EncodedReport) {
    if (attachments.length === 0) return { bytes, outcomes: [] };
    const outcomes = await Promise.all(report.outcomes.map((outcome) => this.#withReference(outcome)));
    return { bytes: encodeReport({ ...report, outcomes }), outcomes };
  }

  /** What cannot be kept travels as it is: better late than never. */
  async #withReference(outcome: CallOutcome): Promise<CallOutcome> {
    const { kind, payload } = outcome;
    if (kind !== "returned" || payload.length <= INLINE_LIMIT_BYTES) return outcome;
    const { store, values, runnerId } = this.#options;
    try {
      checkFits(store, "the result", payload);
    } catch (error) {
      return { ...outcome, kind: "threw-for-good", payload: encodeError(error) };
    }
    const reference = { runnerId, id: randomUUID(), sizeBytes: payload.length };
    values.keep(reference, payload);
    try {
      await store.write(reference, payload);
    } catch {
      return fitting(outcome);
    }
    return { ...outcome, payload: NOTHING, reference };
  }
}

function fitting(outcome: CallOutcome): CallOutcome {
  try {
    checkPartFits("the result", outcome.payload);
    return outcome;
  } catch (error) {
    return { ...outcome, kind: "threw-for-good", payload: encodeError(error) };
  }
}

const NOTHING = new Uint8Array();
