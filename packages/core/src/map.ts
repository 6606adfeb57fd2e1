import { AllowFailure, allowFailure, Quote, quote } from "./annotations.ts";
import { findDependencies } from "./dependencies.ts";
import { MapLengthError, NothingToMapError } from "./errors.ts";
import type { TaskFuture } from "./future.ts";
import type { OrFuture } from "./types.ts";
import { WholeInput } from "./whole-input.ts";

/** An argument of `map` that every call gets whole. Made by `unmapped`. */
export class Unmapped<T> {
  readonly value: T;
  constructor(value: T) {
    this.value = value;
  }
}

/** In `map`, gives the whole of `value` to every call, though it is iterable. */
export function unmapped<T>(value: T): Unmapped<T> {
  return new Unmapped(value);
}

/** What `map` takes for a parameter of type T: an iterable of Ts, or one T for all that is not iterable itself. */
export type MapArgument<T> =
  | Iterable<OrFuture<T>>
  | AllowFailure<Iterable<T> | Error>
  | Quote<Iterable<T>>
  | WholeArgument<T>;

type WholeArgument<T> =
  | Unmapped<OrFuture<T>>
  | TaskFuture<T>
  | (T extends string ? T : T extends Iterable<unknown> ? never : OrFuture<T>);

export type MapArguments<Args extends readonly unknown[]> = { [K in keyof Args]: MapArgument<Args[K]> };

/** As `MapArguments`, with futures of iterables in place of iterables. Beside an iterable a future goes whole to every call. */
export type MapArgumentsOrFutures<Args extends readonly unknown[]> = {
  [K in keyof Args]: WholeArgument<Args[K]> | TaskFuture<Iterable<Args[K]>>;
};

/**
 * The arguments of each call that `map` makes. Iterables are taken apart, in step; strings, Unmapped values, futures
 * and everything that is not iterable go to every call.
 *
 * @throws NothingToMapError without an iterable, MapLengthError when iterables differ in length
 */
export function mapArguments(taskName: string, args: readonly unknown[]): unknown[][] {
  const columns = args.map((arg) => columnOf(arg));
  const lengths = columns.flatMap((column) => (column === undefined ? [] : [column.length]));
  const length = lengths[0];
  if (length === undefined) throw new NothingToMapError(taskName);
  if (lengths.some((other) => other !== length)) throw new MapLengthError(taskName, lengths);
  const whole = args.map((arg, place) => wholeOf(arg instanceof Unmapped ? arg.value : arg, place, length));
  return Array.from({ length }, (_, row) =>
    columns.map((column, index) => (column === undefined ? whole[index] : column[row])),
  );
}

/** Strings that are longer are worth being encoded once for all calls; what is in an object, nobody knows before. */
const LONG_STRING_LENGTH = 1_000;

/** What every call gets of an argument that is not taken apart. Futures in it, states and annotations are each call's own affair. */
function wholeOf(value: unknown, place: number, calls: number): unknown {
  const isWorthIt = typeof value === "string" ? value.length > LONG_STRING_LENGTH : isObject(value);
  if (!isWorthIt || calls < 2 || findDependencies(value) !== undefined) return value;
  return new WholeInput(value, place);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** What each call gets of an argument that is taken apart; an annotation around it goes around each part. */
function columnOf(arg: unknown): unknown[] | undefined {
  if (isMapped(arg)) return Array.from(arg);
  if (arg instanceof AllowFailure && isMapped(arg.value))
    return Array.from(arg.value, (item) => allowFailure(item));
  if (arg instanceof Quote && isMapped(arg.value)) return Array.from(arg.value, (item) => quote(item));
  return undefined;
}

/** Does `map` take this argument apart, itself or what an annotation holds? */
export function isTakenApart(arg: unknown): boolean {
  return isMapped(arg instanceof AllowFailure || arg instanceof Quote ? arg.value : arg);
}

function isMapped(arg: unknown): arg is Iterable<unknown> {
  return (
    isObject(arg) &&
    !(arg instanceof Unmapped) &&
    typeof (arg as Partial<Iterable<unknown>>)[Symbol.iterator] === "function"
  );
}
