import { AllowFailure, Quote } from "../definitions/annotations.ts";
import { TaskFuture } from "../futures/future.ts";
import { State } from "../futures/state.ts";
import { WholeInput } from "../values/whole-input.ts";
import { stateError } from "./run-error.ts";

/**
 * Futures and states inside values. Arrays, plain objects, Map and Set are searched, at any depth and through cycles; instances
 * of other classes are not, since they cannot be rebuilt with a value in the future's place.
 */

export interface Dependencies {
  /** Every future in the value, each once, in order of appearance. */
  readonly futures: readonly TaskFuture<unknown>[];
  /** Those that may have failed: they appear inside `allowFailure`, and nowhere else. */
  readonly tolerated: ReadonlySet<TaskFuture<unknown>>;
  /** The states in the value that are not COMPLETED, and so have no value to stand for. */
  readonly unfit: readonly State[];
  /** Are there states in it? Their data takes their place before the value goes anywhere. */
  readonly hasStates: boolean;
}

/**
 * What the value depends on; undefined when there is nothing to replace in it, neither futures nor states nor annotations.
 *
 * @param withStates false: states are values like any other, as in what a function returns
 */
export function findDependencies(value: unknown, withStates = true): Dependencies | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const search = new Search(withStates);
  search.visit(value, false);
  if (
    search.strict === undefined &&
    search.lenient === undefined &&
    !search.sawAnnotation &&
    !search.hasStates
  )
    return undefined;
  const { strict = new Set(), lenient = new Set(), unfit = NO_STATES, hasStates } = search;
  const futures = lenient.size === 0 ? [...strict] : [...new Set([...strict, ...lenient])];
  const tolerated = new Set([...lenient].filter((future) => !strict.has(future)));
  return { futures, tolerated, unfit, hasStates };
}

const NO_STATES: readonly State[] = [];

/** As `findDependencies`, without a search when the arguments are the usual flat ones. */
export function findDependenciesInArguments(args: readonly unknown[]): Dependencies | undefined {
  for (const arg of args) {
    if (typeof arg === "object" && arg !== null) return findDependencies(args);
  }
  return undefined;
}

class Search {
  strict: Set<TaskFuture<unknown>> | undefined;
  lenient: Set<TaskFuture<unknown>> | undefined;
  unfit: State[] | undefined;
  hasStates = false;
  sawAnnotation = false;
  readonly #withStates: boolean;
  readonly #seen = new Set<object>();

  constructor(withStates: boolean) {
    this.#withStates = withStates;
  }

  visit(value: object, isTolerant: boolean): void {
    if (this.#seen.has(value) && !(value instanceof TaskFuture)) return;
    this.#seen.add(value);
    if (value instanceof TaskFuture) {
      this.#found(value, isTolerant);
    } else if (Array.isArray(value) || value instanceof Set) {
      for (const item of value) this.#visitPart(item, isTolerant);
    } else if (value instanceof Map) {
      for (const [key, item] of value) {
        this.#visitPart(key, isTolerant);
        this.#visitPart(item, isTolerant);
      }
    } else if (isPlain(value)) {
      for (const key in value) this.#visitPart((value as Record<string, unknown>)[key], isTolerant);
    } else if (value instanceof State) {
      if (!this.#withStates) return;
      this.hasStates = true;
      if (!value.isCompleted() && !(isTolerant && value.isFailed())) {
        this.unfit ??= [];
        this.unfit.push(value);
      }
    } else if (value instanceof AllowFailure) {
      this.sawAnnotation = true;
      this.#visitPart(value.value, true);
    } else if (value instanceof Quote || value instanceof WholeInput) {
      this.sawAnnotation = true;
    }
  }

  #visitPart(part: unknown, isTolerant: boolean): void {
    if (typeof part === "object" && part !== null) this.visit(part, isTolerant);
  }

  #found(future: TaskFuture<unknown>, isTolerant: boolean): void {
    if (isTolerant) {
      this.lenient ??= new Set();
      this.lenient.add(future);
    } else {
      this.strict ??= new Set();
      this.strict.add(future);
    }
  }
}

/** The value with each state replaced by its data, or the error that it stands for; futures and annotations stay. */
export function replaceStates(value: unknown): unknown {
  return new Replacement(undefined).of(value);
}

/**
 * The value with each future replaced, and annotations by what they hold. Containers that hold one, at any depth, are
 * copied; the rest is shared with the original.
 */
export function replaceFutures(value: unknown, resolve: (future: TaskFuture<unknown>) => unknown): unknown {
  return findDependencies(value, false) === undefined ? value : new Replacement(resolve).of(value);
}

class Replacement {
  /** Undefined: it is states that are replaced. */
  readonly #resolve: ((future: TaskFuture<unknown>) => unknown) | undefined;
  readonly #copies = new Map<object, unknown>();

  constructor(resolve: ((future: TaskFuture<unknown>) => unknown) | undefined) {
    this.#resolve = resolve;
  }

  of(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return value;
    if (this.#resolve === undefined) {
      if (value instanceof State) return value.isCompleted() ? value.data : stateError(value);
      if (value instanceof AllowFailure) return new AllowFailure(this.of(value.value));
    } else {
      if (value instanceof TaskFuture) return this.#resolve(value);
      if (value instanceof AllowFailure) return this.of(value.value);
      if (value instanceof Quote || value instanceof WholeInput) return value.value;
    }
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
    const copy = this.#remember(
      value,
      Object.create(Object.getPrototypeOf(value)) as Record<string, unknown>,
    );
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
