import { asCount, asList, asText, refuse } from "./message-fields.ts";

/**
 * Above so many bytes a value is stored once and referred to, instead of travelling inside messages: below it, storing and
 * fetching it (two ways to Redis, 0.1 to 0.2 ms each on one machine) cost more than carrying it along. It is also where the
 * encoder gives bytes memory of their own: see core/values/packer.ts. Tasks with 10 kB there and back are 7,500 a second with 16 KiB, 7,400 with 64 and 8,000 with 256,
 * those with 100 kB 680, 640 and 870 (bench: payload); but the values of those would pass through the flow's process, once for each call.
 */
export const INLINE_LIMIT_BYTES = 64 * 1024;

/** Where a large value is kept: in the store of this runner's values, under this id. See docs/adr/0006-values-by-reference.md. */
export interface ValueReference {
  readonly runnerId: string;
  readonly id: string;
  readonly sizeBytes: number;
}

/** An encoded value; or where it is kept. */
export type CallValue = Uint8Array | ValueReference;

/** What stands where a message has no value, or has it elsewhere. */
export const NOTHING = new Uint8Array();

export function isReference(value: unknown): value is ValueReference {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

/** Large bytes in memory that threads share: handed to any number of them, they are there once. Small ones as they are. */
export function inSharedMemory(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= INLINE_LIMIT_BYTES || isShared(bytes)) return bytes;
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

function isShared(bytes: Uint8Array): boolean {
  return (bytes.buffer as ArrayBufferLike) instanceof SharedArrayBuffer;
}

// ---- On the wire -------------------------------------------------------------------------------------------------

/**
 * What stands for a value in a message: its bytes; the place among what is sent beside the message; or where it is kept.
 *
 * @param attachments takes large bytes in shared memory, which go beside the message. Left out: nothing does.
 */
export function wireValue(value: CallValue, attachments: Uint8Array[] | undefined): unknown {
  if (!(value instanceof Uint8Array)) return [value.runnerId, value.id, value.sizeBytes];
  if (attachments === undefined || value.length <= INLINE_LIMIT_BYTES || !isShared(value)) return value;
  const known = attachments.indexOf(value);
  return [known < 0 ? attachments.push(value) - 1 : known];
}

/** @throws DecodeError */
export function asValue(field: unknown, attachments: readonly Uint8Array[]): CallValue {
  if (field instanceof Uint8Array) return field;
  const [first, id, sizeBytes] = asList(field);
  if (typeof first === "number") return attachments[first] ?? refuse("bytes beside the message", first);
  return { runnerId: asText(first), id: asText(id), sizeBytes: asCount(sizeBytes) };
}
