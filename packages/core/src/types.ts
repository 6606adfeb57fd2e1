import type { TaskFuture } from "./future.ts";
import type { State } from "./state.ts";

/** Values that arrive as they are: no future can be inside them. */
type Atom = string | number | bigint | boolean | symbol | null | undefined | Date | RegExp | Error | URL | ArrayBuffer | ArrayBufferView | ((...args: never[]) => unknown);

/** T, a future of T, or a T in which futures stand for parts, at any depth. What `submit` takes for a parameter of type T. */
export type OrFuture<T> = T | TaskFuture<T> | WithFutures<T>;

type WithFutures<T> = T extends Atom
  ? never
  : T extends Map<infer K, infer V>
    ? Map<OrFuture<K>, OrFuture<V>>
    : T extends Set<infer V>
      ? Set<OrFuture<V>>
      : T extends readonly unknown[] | Record<string, unknown> | object
        ? { [K in keyof T]: OrFuture<T[K]> }
        : never;

/** The arguments of `submit` and of a direct call, for a function that takes `Args`. */
export type ArgumentsOrFutures<Args extends readonly unknown[]> = { [K in keyof Args]: OrFuture<Args[K]> };

/** What the caller of a run gets for a function that returns T: futures, at any depth, are replaced by their values. */
export type Resolved<T> = 0 extends 1 & T
  ? T
  : T extends Atom
    ? T
    : T extends PromiseLike<infer R>
      ? Resolved<R>
      : T extends State
        ? unknown
        : T extends Map<infer K, infer V>
          ? Map<Resolved<K>, Resolved<V>>
          : T extends Set<infer V>
            ? Set<Resolved<V>>
            : T extends readonly unknown[]
              ? number extends T["length"]
                ? Resolved<T[number]>[]
                : { -readonly [K in keyof T]: Resolved<T[K]> }
              : T extends object
                ? KeepUnlessChanged<T, { [K in keyof T]: Resolved<T[K]> }>
                : T;

/** T itself when nothing in it was replaced: a mapped copy of a class would lose its private members. */
type KeepUnlessChanged<T, Mapped> = [T] extends [Mapped] ? T : Mapped;
