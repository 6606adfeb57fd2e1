import { randomUUID } from "node:crypto";
import { INLINE_LIMIT_BYTES, isReference, NOTHING, type ValueReference } from "./call-values.ts";
import type { LogAllowance } from "./log-allowance.ts";
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
  /** Of the runner. */
  readonly logs: LogAllowance;
  /** Is the delivery still ours, and its runner there? Else what Redis refuses is asked no more. */
  readonly isWanted: () => boolean;
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

  send(whole: EncodedReport): void {
    const report = this.#withAdmittedLogs(whole);
    if (report === undefined) return;
    const { attachments = [] } = report;
    const logBytes = Buffer.byteLength(report.report.logs);
    this.#options.logs.sending(logBytes);
    const message = { bytes: report.bytes, logBytes };
    if (attachments.length > 0) {
      const kept = this.#withReferences(report);
      this.#behindOthers(async () => this.#appendWithValues(await kept, logBytes));
    } else if (this.#waiting !== undefined) this.#behindOthers(() => this.#append(message));
    else {
      this.#lastSent = this.#tryToAppend(message).catch(() =>
        this.#behindOthers(() => this.#append(message)),
      );
    }
  }

  /** Undefined: it has nothing but lines that are dropped. */
  #withAdmittedLogs(whole: EncodedReport): EncodedReport | undefined {
    const { report } = whole;
    const { outcomes, requests, parked, started } = report;
    const logs = this.#options.logs.admit(report.logs, outcomes.length > 0);
    if (logs === report.logs) return whole;
    if (logs === "" && outcomes.length + requests.length + parked.length + started.length === 0)
      return undefined;
    const attachments: Uint8Array[] = [];
    const changed = { ...report, logs };
    return { report: changed, bytes: encodeReport(changed, attachments), attachments };
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

  async #appendWithValues({ bytes, kept }: Kept, logBytes: number): Promise<void> {
    if (await this.#append({ bytes, logBytes })) return;
    // The runner is gone, and so are its values, but for what was written only now.
    for (const reference of kept) this.#options.store.remove(reference);
  }

  /** Until Redis accepts it, or nobody wants it; true as well when the connection is closed for good. */
  #append(message: Message): Promise<boolean> {
    const { redis, logs, isWanted } = this.#options;
    const append = async () => {
      if (isWanted()) return this.#tryToAppend(message);
      logs.sent(message.logBytes, undefined);
      return false;
    };
    return untilAccepted(redis, append).catch(() => true);
  }

  async #tryToAppend({ bytes, logBytes }: Message): Promise<boolean> {
    const { redis, replies, seal, logs } = this.#options;
    const id = await appendToStream(redis, replies, seal.sign(bytes, { kind: "report", key: replies }));
    logs.sent(logBytes, id);
    return id !== undefined;
  }

  async #withReferences({ report }: EncodedReport): Promise<Kept> {
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

interface Message {
  readonly bytes: Uint8Array;
  /** How many of them are log lines. */
  readonly logBytes: number;
}

interface Kept {
  readonly bytes: Uint8Array;
  /** Where its large values are. */
  readonly kept: readonly ValueReference[];
}
