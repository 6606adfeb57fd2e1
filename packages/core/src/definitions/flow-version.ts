import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FlowDefinition } from "./flow-definition.ts";

const hashes = new Map<string, string | undefined>();

/** A flow's version: what its options say, else a hash of its module's text, else nothing. */
export function flowVersion({ version, moduleUrl }: FlowDefinition): string | undefined {
  if (version !== undefined || moduleUrl === undefined) return version;
  if (!hashes.has(moduleUrl)) hashes.set(moduleUrl, hashOf(moduleUrl));
  return hashes.get(moduleUrl);
}

/** Enough of a SHA-256 to tell the versions of one module apart. */
const HASH_LENGTH = 16;

function hashOf(moduleUrl: string): string | undefined {
  try {
    const text = readFileSync(fileURLToPath(moduleUrl));
    return createHash("sha256").update(text).digest("hex").slice(0, HASH_LENGTH);
  } catch {
    return undefined; // The file is gone since it was loaded.
  }
}
