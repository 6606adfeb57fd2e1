import { type EncodedReport, encodeReport } from "../wire/report.ts";
import type { LogAllowance } from "./log-allowance.ts";
import { type Redis, untilAccepted } from "./redis-connection.ts";
import { type KeptReport, ReportValues, type ReportValuesOptions } from "./report-values.ts";
import type { Seal } from "./seal.ts";
import { appendToStream } from "./stream-reader.ts";

export interface ReportSenderOptions extends ReportValuesOptions {
  readonly redis: Redis;
  /** The runner's stream. */
  readonly replies: string;
  readonly seal: Seal;
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
  readonly #values: ReportValues;
  /** Reports that wait; undefined: none does, and the next is sent at once. */
  #waiting: Promise<void> | undefined;
  #lastSent: Promise<unknown> = Promise.resolve();

  constructor(options: ReportSenderOptions) {
    this.#options = options;
    this.#values = new ReportValues(options);
  }

  send(whole: EncodedReport): void {
    const report = this.#withAdmittedLogs(whole);
    if (report === undefined) return;
    const { attachments = [] } = report;
    const logBytes = Buffer.byteLength(report.report.logs);
    this.#options.logs.sending(logBytes);
    const message = { bytes: report.bytes, logBytes };
    if (attachments.length > 0) {
      const kept = this.#values.keep(report.report);
      this.#behindOthers(async () => this.#appendKept(await kept, logBytes));
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

  async #appendKept(kept: KeptReport, logBytes: number): Promise<void> {
    // Else the runner is gone, and so are its values, but for what was written only now.
    if (!(await this.#append({ bytes: kept.bytes, logBytes }))) this.#values.discard(kept);
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
}

interface Message {
  readonly bytes: Uint8Array;
  /** How many of them are log lines. */
  readonly logBytes: number;
}
