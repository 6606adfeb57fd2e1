import { doneWithin } from "./redis-connection.ts";

/** One time for several steps that a Redis which is away must not hold up: each of its own added up to 8 s. */
export class Patience {
  readonly #deadline: number;

  constructor(milliseconds: number) {
    this.#deadline = performance.now() + milliseconds;
  }

  /** Was it done while there was patience? Afterwards it is still asked for, and not waited for. Never rejects. */
  done(asked: Promise<unknown>): Promise<boolean> {
    return doneWithin(Math.max(0, this.#deadline - performance.now()), asked);
  }
}
