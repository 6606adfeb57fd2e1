import { randomUUID } from "node:crypto";
import { INLINE_LIMIT_BYTES, isReference, NOTHING, type ValueReference } from "./call-values.ts";
import { encodeError } from "./outcomes.ts";
import { type Redis, untilAccepted } from "./redis-connection.ts";
import {
  type CallOutcome,
  type CallRequest,
  type EncodedReport,
  encodeReport,
  type GivenValue,
} from "./report.ts";
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

  async #appendWithValues({ bytes, kept }: { bytes: Uint8Array; kept: readonly ValueReference[] }) {
    if (await this.#append(bytes)) return;
    // The runner is gone, and so are its values, but for what was written only now.
    for (const reference of kept) this.#options.store.remove(reference);
  }

  /** Until Redis accepts it; true as well when the connection is closed for good. */
  #append(bytes: Uint8Array): Promise<boolean> {
    return untilAccepted(this.#options.redis, () => this.#tryToAppend(bytes)).catch(() => true);
  }

  #tryToAppend(bytes: Uint8Array): Promise<boolean> {
    const { redis, replies, seal } = this.#options;
    return appendToStream(redis, replies, seal.sign(bytes, { kind: "report", key: replies }));
  }

  async #withReferences({ report }: EncodedReport) {
    const [outcomes, requests] = await Promise.all([
      Promise.all(report.outcomes.map((outcome) => this.#withReference(outcome))),
      Promise.all(report.requests.map((request) => this.#withGiven(request))),
    ]);
    const given = requests.flatMap((request) => request.given.map(({ value }) => value));
    const kept = [...outcomes.map(({ reference }) => reference), ...given].filter(isReference);
    return { bytes: encodeReport({ ...report, outcomes, requests }), kept };
  }

  async #withGiven(request: CallRequest): Promise<CallRequest> {
    if (request.given.length === 0) return request;
    const given = await Promise.all(request.given.map((one) => this.#givenReference(one)));
    return { ...request, given: given.filter((one) => one !== undefined) };
  }

  /** Undefined: it is too large to be kept, which the flow's process sees by what refers to it. */
  async #givenReference({ id, value }: GivenValue): Promise<GivenValue | undefined> {
    if (isReference(value)) return { id, value };
    if (value.length > this.#options.store.mostBytes) return undefined;
    return { id, value: (await this.#keep(value)) ?? value };
  }

  async #withReference(outcome: CallOutcome): Promise<CallOutcome> {
    const { kind, payload } = outcome;
    if (kind !== "returned" || payload.length <= INLINE_LIMIT_BYTES) return outcome;
    try {
      checkFits(this.#options.store, "the result", payload.length);
    } catch (error) {
      return { ...outcome, kind: "threw-for-good", payload: encodeError(error) };
    }
    const reference = await this.#keep(payload);
    return reference === undefined ? outcome : { ...outcome, payload: NOTHING, reference };
  }

  /** Undefined: it could not be kept, and travels as it is. Better late than never. */
  async #keep(bytes: Uint8Array): Promise<ValueReference | undefined> {
    const { store, values, runnerId } = this.#options;
    const reference = { runnerId, id: randomUUID(), sizeBytes: bytes.length };
    values.keep(reference, bytes);
    return store.write(reference, bytes).then(
      () => reference,
      () => undefined,
    );
  }
}
