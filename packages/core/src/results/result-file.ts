import { createHash } from "node:crypto";
import type { StoredResult } from "./result-store.ts";

/**
 * A result as a file: 8 bytes that name the format, the SHA-256 of the rest, the time of expiry (a double, milliseconds
 * since the epoch, NaN for never), the length of the key, the key, the value. The key is in it since the file's name
 * is only a hash of it, and tells a person whose result it is.
 */
const MAGIC = Buffer.from("MLRES\0\0\u0001", "latin1");
const HASH_BYTES = 32;
/** The time of expiry and the length of the key. */
const HEAD_BYTES = 12;

export function toFile(key: string, { value, expiresAt }: StoredResult): Buffer {
  const keyBytes = Buffer.from(key);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeDoubleLE(expiresAt ?? Number.NaN, 0);
  head.writeUInt32LE(keyBytes.length, 8);
  const rest = Buffer.concat([head, keyBytes, value]);
  return Buffer.concat([MAGIC, hashOf(rest), rest]);
}

/** Undefined unless the bytes are a whole file for this key: one that was torn or tampered with is no result. */
export function fromFile(key: string, bytes: Buffer): StoredResult | undefined {
  const rest = bytes.subarray(MAGIC.length + HASH_BYTES);
  const isWhole =
    bytes.subarray(0, MAGIC.length).equals(MAGIC) &&
    bytes.subarray(MAGIC.length, MAGIC.length + HASH_BYTES).equals(hashOf(rest));
  if (!isWhole || rest.length < HEAD_BYTES) return undefined;
  const expiresAt = rest.readDoubleLE(0);
  const keyEnd = HEAD_BYTES + rest.readUInt32LE(8);
  if (!rest.subarray(HEAD_BYTES, keyEnd).equals(Buffer.from(key))) return undefined;
  return { value: rest.subarray(keyEnd), expiresAt: Number.isNaN(expiresAt) ? undefined : expiresAt };
}

function hashOf(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
