import { Input } from "./input.ts";

/**
 * msgpackr turns a function into undefined, a class instance into a plain object, a Promise into `{}`, and -0 into 0,
 * and says nothing. So every value is walked before it is encoded. The walk is on the way of every call, so it does
 * little per value and knows no path: what it finds is left to codec-rewrite.ts, which is slower and knows where it is.
 */

/** msgpackr overflows the stack at some 5,000 levels; V8's own structured clone does no better. */
export const MAX_DEPTH = 1_000;

/**
 * Would the value arrive as what it is? If not, it must be rewritten, or cannot be sent at all.
 *
 * @param allowInputs whether an Input may stand for a value
 */
export function arrivesAsItIs(value: unknown, allowInputs: boolean): boolean {
  return new Walk(allowInputs).value(value, 0);
}

class Walk {
  readonly #allowInputs: boolean;
  #seen: Set<object> | undefined;

  constructor(allowInputs: boolean) {
    this.#allowInputs = allowInputs;
  }

  value(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case "string":
        return isWellFormed(value);
      case "number":
        return value !== 0 || !Object.is(value, -0);
      case "object":
        return value === null || this.#object(value, depth);
      case "function":
      case "symbol":
        return false;
      default:
        return true;
    }
  }

  #object(value: object, depth: number): boolean {
    if (depth > MAX_DEPTH) return false;
    if (!isContainer(value)) return isCopied(value) || (this.#allowInputs && value instanceof Input);
    if (depth > 0) {
      // The outermost container is seen twice in a cycle through it: cheaper than a set for every flat value.
      this.#seen ??= new Set();
      if (this.#seen.has(value)) return true;
      this.#seen.add(value);
    }
    return this.#parts(value, depth + 1);
  }

  #parts(value: object, depth: number): boolean {
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) {
        const item = value[index];
        if (item === undefined ? !(index in value) : !this.value(item, depth)) return false;
      }
    } else if (value instanceof Map) {
      for (const [key, item] of value) if (!this.value(key, depth) || !this.value(item, depth)) return false;
    } else if (value instanceof Set) {
      for (const item of value) if (!this.value(item, depth)) return false;
    } else {
      if (hasSymbolKeys(value)) return false;
      for (const key of Object.keys(value)) {
        if (isOddKey(key)) return false;
        if (!this.value((value as Record<string, unknown>)[key], depth)) return false;
      }
    }
    return true;
  }
}

/** An array, a plain object, a Map or a Set, and not an instance of a class derived from one. */
export function isContainer(value: object): boolean {
  return CONTAINERS.has(Object.getPrototypeOf(value));
}

/** Something without parts that MessagePack carries as it is: a date, a pattern, bytes, numbers. */
export function isCopied(value: object): boolean {
  return COPIED.has(Object.getPrototypeOf(value));
}

/**
 * A key that must not be assigned when the object is built, or that MessagePack's text cannot hold. `__keys__` is the
 * name of a field in msgpackr's own tables.
 */
export function isOddKey(key: string): boolean {
  return key === "__proto__" || key === "__keys__" || !isWellFormed(key);
}

/** In Node 20, and not yet in the ES2023 types. For a string of one-byte characters V8 answers at once. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

export function hasSymbolKeys(value: object): boolean {
  const symbols = Object.getOwnPropertySymbols(value);
  return symbols.some((symbol) => Object.prototype.propertyIsEnumerable.call(value, symbol));
}

const CONTAINERS: ReadonlySet<object | null> = new Set([
  Object.prototype,
  null,
  Array.prototype,
  Map.prototype,
  Set.prototype,
]);

const COPIED: ReadonlySet<object> = new Set([
  Date.prototype,
  RegExp.prototype,
  ArrayBuffer.prototype,
  Buffer.prototype,
  DataView.prototype,
  Int8Array.prototype,
  Uint8Array.prototype,
  Uint8ClampedArray.prototype,
  Int16Array.prototype,
  Uint16Array.prototype,
  Int32Array.prototype,
  Uint32Array.prototype,
  Float32Array.prototype,
  Float64Array.prototype,
  BigInt64Array.prototype,
  BigUint64Array.prototype,
]);
