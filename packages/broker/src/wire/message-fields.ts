import { DecodeError, NotEncodableError } from "@millrace/core";
import { rules, unpackMessage } from "@millrace/core/internal";

/** A message is a MessagePack array that opens with the version. Both sides must have the same. */
export const WIRE_VERSION = 6;

/**
 * The longest message that is read. Values above 64 KiB travel beside it, and a batch of many calls ends at 4 MiB (batch-plan.ts), so
 * that a longer one takes a call with thousands of inputs; V8 and Redis end at 512 MB.
 */
export const MOST_MESSAGE_BYTES = 256 * 1024 * 1024;

/**
 * What one call, outcome or request may have in its message. 16 MiB are left for what has gathered before it, 4 MiB at most, and for log
 * lines, 6 MiB at most: see the worker's outbox.ts and log-lines.ts.
 */
export const MOST_PART_BYTES = MOST_MESSAGE_BYTES - 16 * 1024 * 1024;

/**
 * @returns the bytes
 * @throws NotEncodableError when their message would be too long: it would be refused at the other end, and sent again, for ever
 */
export function checkPartFits(what: string, bytes: Uint8Array, mostBytes = MOST_PART_BYTES): Uint8Array {
  if (bytes.length <= mostBytes) return bytes;
  throw new NotEncodableError(
    what,
    `one of ${bytes.length} bytes when it is encoded`,
    `A message has at most ${mostBytes} bytes of it: leave out what nobody reads, or write it to a file and send its path.`,
  );
}

/** @throws DecodeError unless the bytes are an array of this version with so many fields */
export function decodeMessage(what: string, bytes: Uint8Array, length: number): readonly unknown[] {
  if (bytes.length > MOST_MESSAGE_BYTES)
    throw new DecodeError(`${what} of at most ${MOST_MESSAGE_BYTES} bytes`, `${bytes.length} bytes`);
  const fields = unpackMessage(bytes);
  if (!Array.isArray(fields) || fields[0] !== WIRE_VERSION || fields.length !== length) {
    const got = Array.isArray(fields)
      ? `version ${typeof fields[0] === "number" ? fields[0] : typeof fields[0]} with ${fields.length} fields`
      : typeof fields;
    throw new DecodeError(
      `${what} of wire version ${WIRE_VERSION}`,
      `${got}; run the same version of Millrace in flows and workers`,
    );
  }
  return fields;
}

export function asText(value: unknown): string {
  return typeof value === "string" ? value : refuse("a string", value);
}

export function asCount(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : refuse("a whole number", value);
}

export function asInteger(value: unknown): number {
  return Number.isSafeInteger(value) ? (value as number) : refuse("a whole number", value);
}

export function asSeconds(value: unknown): number {
  return rules.seconds.accepts(value) ? (value as number) : refuse("a number of seconds", value);
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : refuse("a list", value);
}

export function asBytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : refuse("bytes", value);
}

export function refuse(expected: string, got: unknown): never {
  throw new DecodeError(`${expected} in a message`, typeof got === "string" ? got.slice(0, 100) : typeof got);
}
