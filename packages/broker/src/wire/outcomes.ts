import { NotEncodableError, type Outcome, State } from "@millrace/core";
import { decode, EncodedValue, encode, receivedValue } from "@millrace/core/internal";
import { inSharedMemory, NOTHING } from "./call-values.ts";
import { checkPartFits, MOST_PART_BYTES } from "./message-fields.ts";
import type { CallOutcome } from "./report.ts";

/** How a call has ended, as it travels. */
export type RawOutcome = Pick<CallOutcome, "kind" | "payload" | "reference">;

/** Never throws: what cannot be sent, or is too long for a message, is the call's failure. */
export function toRaw(outcome: Outcome, mostBytes = MOST_PART_BYTES): RawOutcome {
  const encoded = (value: unknown, what: string) => checkPartFits(what, encode(value, what), mostBytes);
  try {
    switch (outcome.type) {
      case "returned": {
        const { value } = outcome;
        if (value instanceof EncodedValue) return { kind: "returned", payload: inSharedMemory(value.bytes) };
        if (value instanceof State) return { kind: "returned-state", payload: encoded(value, "result") };
        return { kind: "returned", payload: inSharedMemory(encode(value, "result")) };
      }
      case "threw": {
        const kind = outcome.retriable ? "threw" : "threw-for-good";
        return { kind, payload: encoded(outcome.error, "error") };
      }
      case "cancelled":
        return { kind: "cancelled", payload: NOTHING };
      default:
        return { kind: outcome.type, payload: encoded(outcome.error, "error") };
    }
  } catch (error) {
    return { kind: "threw-for-good", payload: encodeError(error) };
  }
}

/** An error, or when it cannot be sent itself, such as a module that throws a function, the error which says that. */
export function encodeError(error: unknown): Uint8Array {
  try {
    return checkPartFits("error", encode(error, "error"));
  } catch (reason) {
    return encode(reason instanceof NotEncodableError ? reason : new Error(String(reason)));
  }
}

/** Never throws: bytes that cannot be read here are the call's failure, which has ended either way. */
export function toOutcome({ kind, payload }: RawOutcome): Outcome {
  switch (kind) {
    case "returned":
      return { type: "returned", value: receivedValue(payload) };
    case "returned-state":
      return decodedState(payload);
    case "threw":
    case "threw-for-good":
      return { type: "threw", error: decodeError(payload), retriable: kind === "threw" };
    case "timed-out":
      return { type: "timed-out", error: decodeError(payload) as Error };
    case "cancelled":
      return { type: "cancelled" };
    default:
      return { type: "crashed", error: decodeError(payload) as Error };
  }
}

/** What a call failed with; or, when its bytes cannot be read here, what is wrong with them. */
export function decodeError(payload: Uint8Array): unknown {
  try {
    return decode(payload);
  } catch (error) {
    return error;
  }
}

function decodedState(payload: Uint8Array): Outcome {
  try {
    return { type: "returned", value: decode(payload) };
  } catch (error) {
    return { type: "threw", error, retriable: false };
  }
}
