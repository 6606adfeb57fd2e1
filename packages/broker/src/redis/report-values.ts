import { randomUUID } from "node:crypto";
import { checkFits, type ValueStore } from "../values/value-store.ts";
import type { WorkerValues } from "../values/worker-values.ts";
import { INLINE_LIMIT_BYTES, isReference, NOTHING, type ValueReference } from "../wire/call-values.ts";
import { checkPartFits, MOST_PART_BYTES } from "../wire/message-fields.ts";
import { encodeError } from "../wire/outcomes.ts";
import {
  type CallOutcome,
  type CallRequest,
  encodeReport,
  type GivenValue,
  type Report,
} from "../wire/report.ts";

export interface ReportValuesOptions {
  readonly runnerId: string;
  readonly store: ValueStore;
  readonly values: WorkerValues;
}

/** A report that only refers to its large values. */
export interface KeptReport {
  readonly bytes: Uint8Array;
  /** Where they are. */
  readonly kept: readonly ValueReference[];
}

/** Stores the large values of reports for their runner. One that cannot be kept travels as it is: better late than never. */
export class ReportValues {
  readonly #options: ReportValuesOptions;

  constructor(options: ReportValuesOptions) {
    this.#options = options;
  }

  /** @param mostPartBytes what one request may have in the message, with what it gives */
  async keep(report: Report, mostPartBytes = MOST_PART_BYTES): Promise<KeptReport> {
    const [outcomes, requests] = await Promise.all([
      Promise.all(report.outcomes.map((outcome) => this.#keptOutcome(outcome))),
      Promise.all(report.requests.map((request) => this.#keptRequest(request, mostPartBytes))),
    ]);
    const given = requests.flatMap((request) => request.given.map(({ value }) => value));
    const kept = [...outcomes.map(({ reference }) => reference), ...given].filter(isReference);
    return { bytes: encodeReport({ ...report, outcomes, requests }), kept };
  }

  /** The report is wanted by nobody. */
  discard({ kept }: KeptReport): void {
    for (const reference of kept) this.#options.store.remove(reference);
  }

  async #keptOutcome(outcome: CallOutcome): Promise<CallOutcome> {
    const { kind, payload } = outcome;
    if (kind !== "returned" || payload.length <= INLINE_LIMIT_BYTES) return outcome;
    try {
      checkFits(this.#options.store, "the result", payload.length);
      const reference = await this.#keep(payload);
      if (reference !== undefined) return { ...outcome, payload: NOTHING, reference };
      checkPartFits("the result", payload);
      return outcome;
    } catch (error) {
      return { ...outcome, kind: "threw-for-good", payload: encodeError(error) };
    }
  }

  /** What it gives beyond that has no way, which the flow's process sees by what refers to it. */
  async #keptRequest(request: CallRequest, mostPartBytes: number): Promise<CallRequest> {
    if (request.given.length === 0) return request;
    let partBytes = request.body.length;
    const given: GivenValue[] = [];
    for (const one of await Promise.all(request.given.map((each) => this.#keptGiven(each)))) {
      const bytes = isReference(one.value) ? 0 : one.value.length;
      if (bytes > this.#options.store.mostBytes || partBytes + bytes > mostPartBytes) continue;
      partBytes += bytes;
      given.push(one);
    }
    return { ...request, given };
  }

  async #keptGiven({ id, value }: GivenValue): Promise<GivenValue> {
    if (isReference(value) || value.length > this.#options.store.mostBytes) return { id, value };
    return { id, value: (await this.#keep(value)) ?? value };
  }

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
