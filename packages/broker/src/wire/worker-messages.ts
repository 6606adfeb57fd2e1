import { packMessage } from "@millrace/core/internal";
import { asValue, type CallValue, isReference, NOTHING, wireValue } from "./call-values.ts";
import { asBytes, asCount, asList, asText, decodeMessage, refuse, WIRE_VERSION } from "./message-fields.ts";

/** What a runner says to a worker that has a batch of its. */
export type WorkerMessage =
  /** These calls of the batch are to end. */
  | { readonly type: "cancel"; readonly batchId: string; readonly sequences: readonly number[] }
  /** Calls of the batch that have not started are to go back: others have time for them. */
  | { readonly type: "hand-back"; readonly batchId: string }
  | ({ readonly type: "answer" } & CallAnswer);

/** The answer to a request, on its way to the thread that runs the call. */
export interface CallAnswer {
  readonly batchId: string;
  readonly sequence: number;
  readonly id: number;
  readonly body: Uint8Array;
  /** The value in it when it is large, which is not in the body. */
  readonly value?: CallValue | undefined;
  /** Set by the worker that has fetched the value: calls of the call can be given it as it is kept. */
  readonly isKept?: boolean;
}

const TYPES = ["cancel", "answer", "hand-back"] as const;

export function encodeWorkerMessage(message: WorkerMessage): Uint8Array {
  return packMessage([WIRE_VERSION, TYPES.indexOf(message.type), message.batchId, ...detailsOf(message)]);
}

function detailsOf(message: WorkerMessage): readonly unknown[] {
  switch (message.type) {
    case "cancel":
      return [message.sequences, 0, NOTHING, NOTHING];
    case "answer":
      return [[message.sequence], message.id, message.body, wireValue(message.value ?? NOTHING, undefined)];
    case "hand-back":
      return [[], 0, NOTHING, NOTHING];
  }
}

/** @throws DecodeError unless the bytes are a whole message of this version */
export function decodeWorkerMessage(bytes: Uint8Array): WorkerMessage {
  const [, type, batchId, sequences, id, body, field] = decodeMessage("a message to a worker", bytes, 7);
  const calls = asList(sequences).map(asCount);
  const [sequence] = calls;
  const value = asValue(field, []);
  switch (TYPES[asCount(type)]) {
    case "cancel":
      return { type: "cancel", batchId: asText(batchId), sequences: calls };
    case "answer":
      if (sequence === undefined) return refuse("the call that asked", "none");
      return {
        ...{ type: "answer", batchId: asText(batchId), sequence, id: asCount(id), body: asBytes(body) },
        ...((isReference(value) || value.length > 0) && { value }),
      };
    case "hand-back":
      return { type: "hand-back", batchId: asText(batchId) };
    default:
      return refuse("a kind of message to a worker", type);
  }
}
