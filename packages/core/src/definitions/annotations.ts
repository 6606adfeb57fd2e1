/**
 * What a user may say about an argument, besides its value. Both work at any depth of the arguments, in `map` and (the
 * first) in `waitFor`; an annotation inside another counts for nothing.
 */

/** An argument that may come from a failed run. Made by `allowFailure`. */
export class AllowFailure<T> {
  readonly value: unknown;
  declare private readonly resultType: T; // Makes annotations of different values different types.
  constructor(value: unknown) {
    this.value = value;
  }
}

/**
 * Lets a task run although a future in `value` FAILED: the error is passed in the place of the value. A run that
 * crashed, was cancelled or never ran is not let pass.
 *
 * @param value a future, or a container with futures in it
 */
export function allowFailure<T>(value: PromiseLike<T> | T): AllowFailure<T | Error> {
  return new AllowFailure(value);
}

/** An argument that is passed as it is. Made by `quote`. */
export class Quote<T> {
  readonly value: T;
  constructor(value: T) {
    this.value = value;
  }
}

/**
 * Passes `value` as it is: it is not searched for futures, and no future in it is waited for. For large inputs that
 * hold no futures, and for handing on a future itself, where the runner stays in this process.
 */
export function quote<T>(value: T): Quote<T> {
  return new Quote(value);
}
