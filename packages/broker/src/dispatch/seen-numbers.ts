/** Numbers from 1 that come nearly in their order, some of them more than once. */
export class SeenNumbers {
  /** All up to this have come. */
  #upTo = 0;
  /** Those that came ahead of others. */
  readonly #beyond = new Set<number>();

  /** Takes in that a number came. @returns whether it is new */
  add(number: number): boolean {
    if (number <= this.#upTo || this.#beyond.has(number)) return false;
    this.#beyond.add(number);
    while (this.#beyond.delete(this.#upTo + 1)) this.#upTo++;
    return true;
  }
}
