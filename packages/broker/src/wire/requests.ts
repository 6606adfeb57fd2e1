import { packMessage, unpackMessage } from "@millrace/core/internal";
import { type Batch, decodeBatch, encodeBatch } from "./batch.ts";
import { INLINE_LIMIT_BYTES, NOTHING } from "./call-values.ts";
import { asBytes, asCount, asInteger, asList, asSeconds, asText, refuse } from "./message-fields.ts";
import type { RawOutcome } from "./outcomes.ts";
import { OUTCOME_KINDS } from "./report.ts";
import type { CallAnswer } from "./worker-messages.ts";

/** What a running call asks of its flow's process, which has the dispatcher, the limits, the results and the observers. */
export type Request =
  /** Execute this call, the only one of the batch. Answered by its outcome. */
  | {
      readonly type: "submit";
      readonly crashRetries: number;
      readonly priority: number;
      /** Empty: that of the call which submits it. */
      readonly queue: string;
      readonly batch: Batch;
    }
  /** Give up what this earlier request asked for, or give back what it got. Not answered. */
  | { readonly type: "cancel"; readonly id: number }
  | {
      readonly type: "acquire";
      readonly names: readonly string[];
      readonly slots: number;
      readonly holder: string;
      readonly isRate: boolean;
    }
  | { readonly type: "read"; readonly key: string }
  | {
      readonly type: "write";
      readonly key: string;
      readonly value: Uint8Array;
      readonly expiresAt: number | undefined;
    }
  | { readonly type: "claim"; readonly key: string }
  /** A value that the call gave is given to no further call. Not answered. */
  | { readonly type: "release"; readonly given: string }
  /** A run event, encoded. Not answered. */
  | { readonly type: "event"; readonly name: string; readonly event: Uint8Array };

const TYPES = ["submit", "cancel", "acquire", "read", "write", "claim", "event", "release"] as const;

export function encodeRequest(request: Request): Uint8Array {
  return packMessage([TYPES.indexOf(request.type), ...fieldsOf(request)]);
}

function fieldsOf(request: Request): readonly unknown[] {
  switch (request.type) {
    case "submit":
      return [request.crashRetries, request.priority, request.queue, encodeBatch(request.batch)];
    case "cancel":
      return [request.id];
    case "acquire":
      return [request.names, request.slots, request.holder, request.isRate];
    case "write":
      return [request.key, request.value, request.expiresAt ?? null];
    case "event":
      return [request.name, request.event];
    case "release":
      return [request.given];
    default:
      return [request.key];
  }
}

/** @throws DecodeError unless the bytes are a whole request */
export function decodeRequest(bytes: Uint8Array): Request {
  const [index, a, b, c, d] = asList(unpackMessage(bytes));
  const type = TYPES[asCount(index)];
  switch (type) {
    case "submit": {
      const batch = decodeBatch(asBytes(d));
      return batch.calls.length === 1
        ? { type, crashRetries: asCount(a), priority: asInteger(b), queue: asText(c), batch }
        : refuse("one call", `${batch.calls.length}`);
    }
    case "cancel":
      return { type, id: asCount(a) };
    case "acquire":
      return {
        type,
        names: asList(a).map(asText),
        slots: asCount(b),
        holder: asText(c),
        isRate: d === true,
      };
    case "write":
      return { type, key: asText(a), value: asBytes(b), expiresAt: c === null ? undefined : asTime(c) };
    case "event":
      return { type, name: asText(a), event: asBytes(b) };
    case "release":
      return { type, given: asText(a) };
    case "read":
    case "claim":
      return { type, key: asText(a) };
    default:
      return refuse("a kind of request", index);
  }
}

function asTime(value: unknown): number {
  return typeof value === "number" ? value : asSeconds(value);
}

// ---- Answers -----------------------------------------------------------------------------------------------------

/** A large value goes beside the body: see CallAnswer. */
export function encodeOutcome({ kind, payload, reference }: RawOutcome): Pick<CallAnswer, "body" | "value"> {
  const value =
    reference ?? (payload.length > INLINE_LIMIT_BYTES && kind === "returned" ? payload : undefined);
  const inline = value === undefined ? payload : NOTHING;
  return { body: packMessage([OUTCOME_KINDS.indexOf(kind), inline]), ...(value !== undefined && { value }) };
}

/** @throws DecodeError */
export function decodeOutcome({ body, value }: Pick<CallAnswer, "body" | "value">): RawOutcome {
  const [kind, payload] = asList(unpackMessage(body));
  return {
    kind: OUTCOME_KINDS[asCount(kind)] ?? refuse("a kind of outcome", kind),
    payload: value instanceof Uint8Array ? value : asBytes(payload),
  };
}

/** What the other requests are answered with: an error, encoded, or what was asked for. */
export type ServiceAnswer = { readonly error: Uint8Array } | { readonly value: unknown };

export function encodeServiceAnswer(answer: ServiceAnswer): Uint8Array {
  return packMessage("error" in answer ? [false, answer.error] : [true, answer.value ?? null]);
}

/** @throws DecodeError */
export function decodeServiceAnswer(bytes: Uint8Array): ServiceAnswer {
  const [isValue, content] = asList(unpackMessage(bytes));
  return isValue === true ? { value: content } : { error: asBytes(content) };
}
