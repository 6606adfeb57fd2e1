import { TaskFuture } from "./future.ts";

/**
 * Futures inside values. Arrays, plain objects, Map and Set are searched, at any depth and through cycles; instances
 * of other classes are not, since they cannot be rebuilt with a value in the future's place.
 */

/** Every future in the value, each once, in order of appearance; undefined when there is none. */
export function findFutures(value: unknown): TaskFuture<unknown>[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const search = new Search();
  search.visit(value);
  return search.found;
}

/** The futures among a call's arguments: as `findFutures`, without a search for the usual flat ones. */
export function findFuturesInArguments(args: readonly unknown[]): TaskFuture<unknown>[] | undefined {
  for (const arg of args) {
    if (typeof arg === "object" && arg !== null) return findFutures(args);
  }
  return undefined;
}

class Search {
  found: TaskFuture<unknown>[] | undefined;
  readonly #seen = new Set<object>();

  visit(value: object): void {
    if (this.#seen.has(value)) return;
    this.#seen.add(value);
    if (value instanceof TaskFuture) {
      if (this.found === undefined) this.found = [value];
      else this.found.push(value);
    } else if (Array.isArray(value) || value instanceof Set) {
      for (const item of value) this.#visitPart(item);
    } else if (value instanceof Map) {
      for (const [key, item] of value) {
        this.#visitPart(key);
        this.#visitPart(item);
      }
    } else if (isPlain(value)) {
      for (const key in value) this.#visitPart((value as Record<string, unknown>)[key]);
    }
  }

  #visitPart(part: unknown): void {
    if (typeof part === "object" && part !== null) this.visit(part);
  }
}

/**
 * The value with each future replaced. Containers that hold a future, at any depth, are copied; the rest is shared
 * with the original.
 */
export function replaceFutures(value: unknown, valueOf: (future: TaskFuture<unknown>) => unknown): unknown {
  return findFutures(value) === undefined ? value : new Replacement(valueOf).of(value);
}

class Replacement {
  readonly #valueOf: (future: TaskFuture<unknown>) => unknown;
  readonly #copies = new Map<object, unknown>();

  constructor(valueOf: (future: TaskFuture<unknown>) => unknown) {
    this.#valueOf = valueOf;
  }

  of(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof TaskFuture) return this.#valueOf(value);
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    if (Array.isArray(value)) {
      const copy: unknown[] = this.#remember(value, new Array(value.length));
      for (const index of value.keys()) if (index in value) copy[index] = this.of(value[index]);
      return copy;
    }
    if (value instanceof Set) {
      const copy = this.#remember(value, new Set());
      for (const item of value) copy.add(this.of(item));
      return copy;
    }
    if (value instanceof Map) {
      const copy = this.#remember(value, new Map());
      for (const [key, item] of value) copy.set(this.of(key), this.of(item));
      return copy;
    }
    if (!isPlain(value)) return value;
    const copy = this.#remember(value, Object.create(Object.getPrototypeOf(value)) as Record<string, unknown>);
    for (const key of Object.keys(value)) {
      const part = this.of((value as Record<string, unknown>)[key]);
      // JSON.parse can make such a key; an assignment would set the copy's prototype.
      if (key === "__proto__") Object.defineProperty(copy, key, { value: part, enumerable: true });
      else copy[key] = part;
    }
    return copy;
  }

  #remember<T>(original: object, copy: T): T {
    this.#copies.set(original, copy);
    return copy;
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
