import { packMessage } from "@millrace/core/internal";
import { asValue, type CallValue, NOTHING, type ValueReference, wireValue } from "./call-values.ts";
import { asBytes, asCount, asList, asText, decodeMessage, refuse, WIRE_VERSION } from "./message-fields.ts";

/** Reports, which come back from a batch's thread and worker to its runner. Values inside them are bytes that only the two ends decode. */

/** Outcomes of some calls of a batch, and the log lines written until then. */
export interface Report {
  readonly batchId: string;
  readonly outcomes: readonly CallOutcome[];
  /** Lines of JSON, each with its line feed; empty when nothing was logged. */
  readonly logs: string;
  /** What calls of the batch ask of the flow's process. */
  readonly requests: readonly CallRequest[];
  /** Calls that await something while their thread is idle: they keep no thread busy from now on. */
  readonly parked: readonly number[];
  /** Calls that have begun, and go on. Of short ones, nothing is said. */
  readonly started: readonly number[];
  /** The worker to answer; empty when nothing is asked. */
  readonly workerId: string;
}

/** What a running call asks, or tells, the process of its flow: see requests.ts. */
export interface CallRequest {
  /** The call that asks. */
  readonly sequence: number;
  /** What the answer will name; 0: none is expected. */
  readonly id: number;
  readonly body: Uint8Array;
  /** Large values that it, or a later request of the call, refers to. */
  readonly given: readonly GivenValue[];
}

/** A large value that a running call gives to its calls. */
export interface GivenValue {
  /** The call's own name for it. */
  readonly id: string;
  readonly value: CallValue;
}

/** A report in both forms: a thread encodes it once, and whoever needs the parts or the bytes has them. */
export interface EncodedReport {
  readonly report: Report;
  readonly bytes: Uint8Array;
  /** Large values, in shared memory, that go beside the bytes. Left out: there are none. */
  readonly attachments?: readonly Uint8Array[];
}

/**
 * `returned-state`: a State made by hand, or by the states and futures that the function returned. `crashed`: the thread
 * died, and nothing else ran in it. `suspected`: it died, and one of several calls killed it. `lost`: it died, and another
 * call, or the worker, killed it. `unstarted`: it never began, since a call that it waits for has not returned, or since
 * another worker has more time for it. `value-lost`: it never began, since a value that it needs is not where it was kept.
 */
export const OUTCOME_KINDS = [
  "returned",
  "returned-state",
  "threw",
  "threw-for-good",
  "timed-out",
  "cancelled",
  "crashed",
  "suspected",
  "lost",
  "unstarted",
  "value-lost",
] as const;
export type OutcomeKind = (typeof OUTCOME_KINDS)[number];

export interface CallOutcome {
  readonly sequence: number;
  readonly kind: OutcomeKind;
  /** How long the call kept its thread busy, in microseconds: with the decoding of its arguments, and the user's function. 0: nobody knows. */
  readonly durationMicros: number;
  /** The encoded value or error; of a lost value, the id in UTF-8, or in an answer the error. */
  readonly payload: Uint8Array;
  /** Where the value is when it is large; the payload is empty then. */
  readonly reference?: ValueReference | undefined;
}

/** @param attachments takes what goes beside the bytes: see wireValue */
export function encodeReport(report: Report, attachments?: Uint8Array[]): Uint8Array {
  return packMessage([
    WIRE_VERSION,
    report.batchId,
    report.outcomes.map((o) => [
      o.sequence,
      OUTCOME_KINDS.indexOf(o.kind),
      o.durationMicros,
      wireValue(o.reference ?? o.payload, attachments),
    ]),
    report.logs,
    report.requests.map((r) => [
      r.sequence,
      r.id,
      r.body,
      r.given.map(({ id, value }) => [id, wireValue(value, attachments)]),
    ]),
    report.parked,
    report.started,
    report.workerId,
  ]);
}

/** @throws DecodeError unless the bytes are a whole report of this version */
export function decodeReport(bytes: Uint8Array, attachments: readonly Uint8Array[] = []): Report {
  const fields = decodeMessage("a report", bytes, 8);
  const [, batchId, outcomes, logs, requests, parked, started, workerId] = fields;
  return {
    batchId: asText(batchId),
    outcomes: asList(outcomes).map((fields) => {
      const [sequence, kind, durationMicros, payload] = asList(fields);
      const value = asValue(payload, attachments);
      const isHere = value instanceof Uint8Array;
      const outcome = {
        sequence: asCount(sequence),
        kind: OUTCOME_KINDS[asCount(kind)] ?? refuse("a kind of outcome", kind),
        durationMicros: asCount(durationMicros),
        payload: isHere ? value : NOTHING,
      };
      if (isHere) return outcome;
      return outcome.kind === "returned" ? { ...outcome, reference: value } : refuse("bytes", payload);
    }),
    logs: asText(logs),
    requests: asList(requests).map((fields) => {
      const [sequence, id, body, given] = asList(fields);
      return {
        ...{ sequence: asCount(sequence), id: asCount(id), body: asBytes(body) },
        given: asList(given).map((fields) => {
          const [id, value] = asList(fields);
          return { id: asText(id), value: asValue(value, attachments) };
        }),
      };
    }),
    parked: asList(parked).map(asCount),
    started: asList(started).map(asCount),
    workerId: asText(workerId),
  };
}
