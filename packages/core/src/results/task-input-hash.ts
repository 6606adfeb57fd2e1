import { createHash } from "node:crypto";
import type { TaskRunInfo } from "../definitions/hooks.ts";
import { arrivesAsItIs, isContainer } from "../values/codec-check.ts";
import { rewriteValue } from "../values/codec-rewrite.ts";
import { packValue } from "../values/packer.ts";
import { Tagged } from "../values/tagged.ts";

/**
 * A `cacheKeyFn`: calls of the same task, with the same source text, with equal arguments have the same key. The order
 * in which an object's properties were written does not matter; the order of a Map or a Set does.
 *
 * @returns a SHA-256 in hex; undefined, so that nothing is cached, when the arguments hold what cannot be encoded
 */
export function taskInputHash(run: TaskRunInfo, args: readonly unknown[]): string | undefined {
  return hashOfCall(run.taskName, run.taskSource, args);
}

/** The key of one call: see `taskInputHash`. */
export function hashOfCall(taskName: string, source: string, args: readonly unknown[]): string | undefined {
  try {
    const digest = digestOf(arrivesAsItIs(args, false) ? args : rewriteValue(args, "arguments", false));
    const hash = createHash("sha256");
    for (const text of [taskName, source]) hash.update(`${text.length}:`).update(text, "utf16le");
    return hash.update(digest).digest("hex");
  } catch {
    return undefined; // NotEncodableError, or what a getter threw.
  }
}

/** Of a value that the codec carries. @throws what the packer throws */
function digestOf(value: unknown): Uint8Array {
  const tree = new Tree();
  try {
    return tree.digest(value as object);
  } catch (error) {
    if (error !== tree.cycle) throw error;
    return graphDigest(value as object);
  }
}

/**
 * The digest of an object is made of its primitive parts and the digests of the others. So it does not tell whether two
 * equal parts are one object, which equal arguments from two places need not have in common; and each object is read
 * once, however often it is shared.
 */
class Tree {
  readonly cycle = new Error("cycle");
  readonly #digests = new Map<object, Uint8Array>();
  readonly #open = new Set<object>();

  digest(value: object): Uint8Array {
    const known = this.#digests.get(value);
    if (known !== undefined) return known;
    if (this.#open.has(value)) throw this.cycle;
    this.#open.add(value);
    // A copy for each place: the packer would write the second place of one buffer as a reference to the first.
    const digest = sha256(described(value, (part) => this.digest(part).slice()));
    this.#open.delete(value);
    this.#digests.set(value, digest);
    return digest;
  }
}

/** For a value with cycles: its objects, numbered as they are met. Two equal parts differ here from one in two places. */
function graphDigest(value: object): Uint8Array {
  const numbers = new Map<object, number>([[value, 0]]);
  const hash = createHash("sha256").update("graph");
  for (const object of numbers.keys()) {
    const bytes = described(object, (part) => {
      const number = numbers.get(part) ?? numbers.size;
      numbers.set(part, number);
      return Buffer.from(String(number));
    });
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest();
}

/** An object's kind and parts as bytes, with `stand` in the places of parts that are objects. */
function described(object: object, stand: (part: object) => Uint8Array): Uint8Array {
  const standing = (part: unknown) => (typeof part === "object" && part !== null ? stand(part) : part);
  if (Array.isArray(object)) return packValue(["array", ...object.map(standing)]);
  if (object instanceof Map) return packValue(["map", ...[...object].flat().map(standing)]);
  if (object instanceof Set) return packValue(["set", ...[...object].map(standing)]);
  if (object instanceof Tagged) return packValue([`tagged ${object.tag}`, standing(payloadOf(object))]);
  if (!isContainer(object)) return packValue(["leaf", object]); // A date, a pattern, bytes, numbers: no parts.
  const entries = Object.entries(object).sort(byKey);
  return packValue(["object", ...entries.flatMap(([key, part]) => [key, standing(part)])]);
}

/** The codec writes an object with a key such as `__proto__` as a list of its entries. */
function payloadOf({ tag, payload }: Tagged): unknown {
  return tag === "entries" ? [...(payload as [string, unknown][])].sort(byKey) : payload;
}

/** A key with half of a surrogate pair is a Tagged: those come first, in the order of their code units. */
function byKey([one]: [unknown, unknown], [other]: [unknown, unknown]): number {
  const [a, b] = [sortText(one), sortText(other)];
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortText(key: unknown): string {
  return typeof key === "string" ? `1${key}` : `0${String((key as Tagged).payload)}`;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
