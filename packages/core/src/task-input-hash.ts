import { createHash } from "node:crypto";
import { encode } from "./codec.ts";
import type { TaskRunInfo } from "./hooks.ts";

/**
 * A `cacheKeyFn`: calls of the same task, with the same source text, with equal arguments have the same key. The order
 * in which an object's properties were written does not matter; the order of a Map or a Set does.
 *
 * @returns a SHA-256 in hex; undefined, so that nothing is cached, when the arguments hold what cannot be encoded
 */
export function taskInputHash(run: TaskRunInfo, args: readonly unknown[]): string | undefined {
  let bytes: Uint8Array;
  try {
    bytes = encode(withSortedKeys(args, new Map()));
  } catch {
    return undefined; // NotEncodableError, or what a getter threw.
  }
  const hash = createHash("sha256");
  for (const text of [run.taskName, run.taskSource]) hash.update(`${text.length}:${text}`);
  return hash.update(bytes).digest("hex");
}

/** A copy whose plain objects have their keys in order; anything else the codec writes alike for equal values. */
function withSortedKeys(value: unknown, copies: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) {
    const copy: unknown[] = new Array(value.length);
    copies.set(value, copy);
    for (const [index, item] of value.entries())
      if (index in value) copy[index] = withSortedKeys(item, copies);
    return copy;
  }
  if (value instanceof Map) {
    const copy = new Map();
    copies.set(value, copy);
    for (const [key, item] of value) copy.set(withSortedKeys(key, copies), withSortedKeys(item, copies));
    return copy;
  }
  if (value instanceof Set) {
    const copy = new Set();
    copies.set(value, copy);
    for (const item of value) copy.add(withSortedKeys(item, copies));
    return copy;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const copy: Record<string, unknown> = {};
  copies.set(value, copy);
  for (const key of Object.keys(value).sort()) {
    const part = withSortedKeys((value as Record<string, unknown>)[key], copies);
    // A key that JSON.parse can make; an assignment would set the prototype.
    Object.defineProperty(copy, key, { value: part, enumerable: true, writable: true, configurable: true });
  }
  return copy;
}
