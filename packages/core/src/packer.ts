import { addExtension, Packr } from "msgpackr";
import { DecodeError } from "./errors.ts";

/**
 * The one file that knows msgpackr. Two encoders: a lean one for Millrace's own messages, whose form both ends know,
 * and one for users' values, with references, cycles and JavaScript's types.
 *
 * Neither shares structures between messages: two processes with tables of their own would read each other's fields
 * under wrong names, without an error.
 */
const messagePacker = new Packr({ useRecords: false });

/** `copyBuffers`: bytes in a decoded value would otherwise be a view of the message, and keep it alive. */
const valuePacker = new Packr({ structuredClone: true, copyBuffers: true, useToJSON: false } as object);

export function packMessage(message: readonly unknown[]): Uint8Array {
  return messagePacker.pack(message);
}

/** Bytes in the message are views of it. @throws DecodeError when the bytes are not one whole MessagePack value */
export function unpackMessage(bytes: Uint8Array): unknown {
  return unpackWith(messagePacker, "a message in MessagePack", bytes);
}

export function packValue(value: unknown): Uint8Array {
  return valuePacker.pack(value);
}

/** @throws DecodeError when the bytes are not one whole value */
export function unpackValue(bytes: Uint8Array): unknown {
  return unpackWith(valuePacker, "an encoded value", bytes);
}

function unpackWith(packer: Packr, what: string, bytes: Uint8Array): unknown {
  try {
    return packer.unpack(bytes);
  } catch (error) {
    if (error instanceof DecodeError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new DecodeError(what, `${bytes.length} bytes that are not (${why})`, { cause: error });
  }
}

/**
 * Teaches the encoder of values a class: an instance travels as what `write` gives, and arrives as what `read` makes
 * of that.
 *
 * @param type MessagePack's number of the extension type, 1 to 100; the same in every process
 */
export function addValueExtension<T, Written>(
  type: number,
  Class: abstract new (...args: never[]) => T,
  write: (instance: T) => Written,
  read: (written: Written) => unknown,
): void {
  addExtension({ type, Class: Class as never, write, read } as never);
}
