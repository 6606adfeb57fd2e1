import { packMessage } from "@millrace/core/internal";
import { asBytes, asCount, asList, asText, decodeMessage, refuse, WIRE_VERSION } from "./message-fields.ts";
import type { CallAnswer } from "./messages.ts";

/** What a runner says to a worker that has a batch of its. */
export type WorkerMessage =
  /** These calls of the batch are to end. */
  | { readonly type: "cancel"; readonly batchId: string; readonly sequences: readonly number[] }
  | ({ readonly type: "answer" } & CallAnswer);

const TYPES = ["cancel", "answer"] as const;

export function encodeWorkerMessage(message: WorkerMessage): Uint8Array {
  const { type, batchId } = message;
  const rest =
    type === "cancel" ? [message.sequences, 0, NOTHING] : [[message.sequence], message.id, message.body];
  return packMessage([WIRE_VERSION, TYPES.indexOf(type), batchId, ...rest]);
}

/** @throws DecodeError unless the bytes are a whole message of this version */
export function decodeWorkerMessage(bytes: Uint8Array): WorkerMessage {
  const [, type, batchId, sequences, id, body] = decodeMessage("a message to a worker", bytes, 6);
  const calls = asList(sequences).map(asCount);
  const [sequence] = calls;
  switch (TYPES[asCount(type)]) {
    case "cancel":
      return { type: "cancel", batchId: asText(batchId), sequences: calls };
    case "answer":
      if (sequence === undefined) return refuse("the call that asked", "none");
      return { type: "answer", batchId: asText(batchId), sequence, id: asCount(id), body: asBytes(body) };
    default:
      return refuse("a kind of message to a worker", type);
  }
}

const NOTHING = new Uint8Array();
