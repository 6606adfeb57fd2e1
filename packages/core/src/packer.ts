import { Packr } from "msgpackr";
import { DecodeError } from "./errors.ts";

/**
 * MessagePack for Millrace's own messages: arrays of numbers, strings and bytes, whose form both ends know. A tenth of
 * the work of the codec for users' values. Bytes in an unpacked message are views of it, not copies.
 */
const packr = new Packr({ useRecords: false });

export function packMessage(message: readonly unknown[]): Uint8Array {
  return packr.pack(message);
}

/** @throws DecodeError when the bytes are not one whole MessagePack value */
export function unpackMessage(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch (error) {
    throw new DecodeError("a message in MessagePack", `${bytes.length} bytes that are not`, { cause: error });
  }
}
