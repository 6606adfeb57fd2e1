import type { LoopFuture, TaskFuture } from "../futures/future.ts";
import type { State } from "../futures/state.ts";
import type { AllowFailure, Quote } from "./annotations.ts";

/** Values that arrive as they are: no future can be inside them. */
type Atom =
  | string
  | number
  | bigint
  | boolean
  | symbol
  | null
  | undefined
  | Date
  | RegExp
  | Error
  | URL
  | ArrayBuffer
  | ArrayBufferView
  | ((...args: never[]) => unknown);

/** T, a future of T or the state of a run, or a T in which those stand for parts, at any depth. What `submit` takes for a parameter of type T. */
export type OrFuture<T> =
  | T
  | TaskFuture<T>
  | LoopFuture<T>
  | State
  | AllowFailure<T>
  | Quote<T>
  | WithFutures<T>;

type WithFutures<T> = T extends Atom
  ? never
  : T extends Map<infer K, infer V>
    ? Map<OrFuture<K>, OrFuture<V>>
    : T extends Set<infer V>
      ? Set<OrFuture<V>>
      : T extends readonly unknown[]
        ? number extends T["length"]
          ? OrFuture<T[number]>[] // Not the mapped type: for a recursive T, that would never end.
          : { [K in keyof T]: OrFuture<T[K]> }
        : T extends object
          ? { [K in keyof T]: OrFuture<T[K]> } | FuturesOfIterable<T>
          : never;

/** Arrays and sets are searched for futures; so they may stand for what asks for no more than an iterable. */
type FuturesOfIterable<T> =
  T extends Iterable<infer V> ? (Iterable<V> extends T ? OrFuture<V>[] | Set<OrFuture<V>> : never) : never;

/** The arguments of `submit` and of a direct call, for a function that takes `Args`. */
export type ArgumentsOrFutures<Args extends readonly unknown[]> = { [K in keyof Args]: OrFuture<Args[K]> };

/** What the caller of a run gets for a function that returns T: futures, at any depth, are replaced by their values. */
export type Resolved<T> = 0 extends 1 & T
  ? T
  : T extends PromiseLike<infer R>
    ? Resolved<R>
    : T extends State
      ? unknown
      : ResolvedPart<T>;

/** T itself when no future is in it: a copy of a class would lose its private members, and of a recursive type never end. */
type ResolvedPart<T> = T extends unknown ? (true extends HoldsFuture<T> ? WithoutFutures<T> : T) : never;

type WithoutFutures<T> =
  T extends TaskFuture<infer R>
    ? R
    : T extends Map<infer K, infer V>
      ? Map<ResolvedPart<K>, ResolvedPart<V>>
      : T extends Set<infer V>
        ? Set<ResolvedPart<V>>
        : T extends readonly unknown[]
          ? number extends T["length"]
            ? ResolvedPart<T[number]>[]
            : { -readonly [K in keyof T]: ResolvedPart<T[K]> }
          : { [K in keyof T]: ResolvedPart<T[K]> };

/** Looked for six levels deep, since a type may be recursive. */
type HoldsFuture<T, Depth extends 0[] = []> = Depth["length"] extends 6
  ? false
  : 0 extends 1 & T
    ? false
    : T extends TaskFuture<unknown>
      ? true
      : T extends Atom | State
        ? false
        : T extends Map<infer K, infer V>
          ? HoldsFuture<K | V, [...Depth, 0]>
          : T extends Set<infer V>
            ? HoldsFuture<V, [...Depth, 0]>
            : T extends readonly unknown[]
              ? HoldsFuture<T[number], [...Depth, 0]>
              : T extends object
                ? { [K in keyof T]-?: HoldsFuture<T[K], [...Depth, 0]> }[keyof T]
                : false;
