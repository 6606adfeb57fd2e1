import { findDependencies } from "../engine/dependencies.ts";
import { MapLengthError, MapStreamError, NothingToMapError } from "../errors/errors.ts";
import type { TaskFuture } from "../futures/future.ts";
import type { TaskFutureStream } from "../futures/future-stream.ts";
import { WholeInput } from "../values/whole-input.ts";
import { AllowFailure, allowFailure, Quote, quote } from "./annotations.ts";
import type { OrFuture } from "./types.ts";

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
  | (T extends string ? T : T extends Iterable<unknown> | AsyncIterable<unknown> ? never : OrFuture<T>);

export type MapArguments<Args extends readonly unknown[]> = { [K in keyof Args]: MapArgument<Args[K]> };

/** As `MapArguments`, with futures of iterables in place of iterables. Beside an iterable a future goes whole to every call. */
export type MapArgumentsOrFutures<Args extends readonly unknown[]> = {
  [K in keyof Args]: WholeArgument<Args[K]> | TaskFuture<Iterable<Args[K]>>;
};

/** As `MapArguments`, with one async iterable, and nothing else that is taken apart. */
export type MapStreamArguments<Args extends readonly unknown[]> = {
  [K in keyof Args]: StreamArgument<Args[K]> | WholeArgument<Args[K]>;
};

type StreamArgument<T> =
  | AsyncIterable<OrFuture<T>>
  | AllowFailure<AsyncIterable<T> | TaskFutureStream<T> | Error>
  | Quote<AsyncIterable<T>>;

/** Is there an async iterable among the arguments? Asked of their types, since a parameter may take anything. */
export type HasStream<Given extends readonly unknown[]> = true extends {
  [K in keyof Given]: IsStream<Given[K]>;
}[number]
  ? true
  : false;

type IsStream<T> = 0 extends 1 & T
  ? false
  : T extends Iterable<unknown>
    ? false
    : T extends
          | AsyncIterable<unknown>
          | AllowFailure<AsyncIterable<unknown> | Error>
          | Quote<AsyncIterable<unknown>>
      ? true
      : false;

/**
 * The arguments of each call that `map` makes, each made when it is asked for. Iterables are taken apart, in step; strings, Unmapped values, futures
 * and everything that is not iterable go to every call.
 *
 * @throws NothingToMapError without an iterable, MapLengthError when iterables differ in length
 */
export function* mapArguments(taskName: string, args: readonly unknown[]): Iterable<unknown[]> {
  const columns = args.map((arg) => columnOf(arg));
  const lengths = columns.flatMap((column) => (column === undefined ? [] : [column.length]));
  const length = lengths[0];
  if (length === undefined) throw new NothingToMapError(taskName);
  if (lengths.some((other) => other !== length)) throw new MapLengthError(taskName, lengths);
  const whole = args.map((arg, place) => wholeOf(arg instanceof Unmapped ? arg.value : arg, place, length));
  for (let row = 0; row < length; row++)
    yield columns.map((column, index) => (column === undefined ? whole[index] : column[row]));
}

/** What `map` does with an async iterable: it takes its items as there is room for them. */
export interface StreamedArguments {
  readonly items: AsyncIterable<unknown>;
  /** The arguments of the call for this item. */
  argumentsFor(item: unknown): unknown[];
}

/**
 * How the calls are made when one of the arguments is an async iterable; undefined when none is.
 *
 * @throws MapStreamError when another argument would be taken apart as well: which of them is longer shows too late
 */
export function streamedArguments(taskName: string, args: readonly unknown[]): StreamedArguments | undefined {
  const streams = args.filter(isStreamed).length;
  if (streams === 0) return undefined;
  const iterables = args.filter(isTakenApart).length;
  if (streams + iterables > 1) throw new MapStreamError(taskName, streams, iterables);
  const place = args.findIndex(isStreamed);
  const stream = args[place];
  const annotate =
    stream instanceof AllowFailure ? allowFailure : stream instanceof Quote ? quote : undefined;
  const whole = args.map((arg) => (arg instanceof Unmapped ? arg.value : arg));
  return {
    items: annotated(stream) as AsyncIterable<unknown>,
    argumentsFor: (item) => whole.with(place, annotate === undefined ? item : annotate(item)),
  };
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
  return isMapped(annotated(arg));
}

function isStreamed(arg: unknown): boolean {
  const value = annotated(arg);
  return !isMapped(value) && has(value, Symbol.asyncIterator);
}

function annotated(arg: unknown): unknown {
  return arg instanceof AllowFailure || arg instanceof Quote ? arg.value : arg;
}

function isMapped(arg: unknown): arg is Iterable<unknown> {
  return has(arg, Symbol.iterator);
}

/** Is it an object with this method, and not one of ours around it? */
function has(arg: unknown, method: symbol): boolean {
  return (
    isObject(arg) &&
    !(arg instanceof Unmapped) &&
    typeof (arg as Record<symbol, unknown>)[method] === "function"
  );
}
