import { addExtension, Packr, Unpackr } from "msgpackr";
import { DecodeError } from "../errors/errors.ts";

/**
 * The one file that knows msgpackr. Two encoders: a lean one for Millrace's own messages, whose form both ends know,
 * and one for users' values, with references, cycles and JavaScript's types.
 *
 * Neither shares structures between messages: two processes with tables of their own would read each other's fields
 * under wrong names, without an error.
 */
const messagePacker = new Packr({ useRecords: false });

const VALUE_OPTIONS = {
  structuredClone: true,
  copyBuffers: true, // Bytes in a decoded value would otherwise be a view of the message, and keep it alive.
  useToJSON: false,
};
const valuePacker = new Packr(VALUE_OPTIONS as object);
/** Of its own: a registered type's `decode` may encode or decode, which one object for both does not survive. */
const valueUnpacker = new Unpackr(VALUE_OPTIONS as object);

/**
 * Above this, packed bytes get memory of their own: the packer's grows with the largest value, and is kept. Where values begin to
 * travel beside messages, INLINE_LIMIT_BYTES of the broker, which need not copy those.
 */
const SHARED_MEMORY_BYTES = 64 * 1024;

export function packMessage(message: readonly unknown[]): Uint8Array {
  return messagePacker.pack(message);
}

/** Bytes in the message are views of it. @throws DecodeError when the bytes are not one whole MessagePack value */
export function unpackMessage(bytes: Uint8Array): unknown {
  return unpackWith(messagePacker, "a message in MessagePack", bytes);
}

export function packValue(value: unknown): Uint8Array {
  const bytes = valuePacker.pack(value);
  if (bytes.length <= SHARED_MEMORY_BYTES) return bytes;
  valuePacker.useBuffer(Buffer.allocUnsafeSlow(8 * 1024));
  return bytes;
}

/** @throws DecodeError when the bytes are not one whole value */
export function unpackValue(bytes: Uint8Array): unknown {
  return unpackWith(valueUnpacker, "an encoded value", bytes);
}

function unpackWith(unpacker: Unpackr, what: string, bytes: Uint8Array): unknown {
  try {
    // A Buffer, also of bytes that came through a port as a Uint8Array: msgpackr makes bytes of the kind that it reads.
    return unpacker.unpack(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
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
