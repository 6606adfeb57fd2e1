/** A first-in-first-out queue that looks ahead. Array.shift moves every element: 100,000 shifts of a backlog of 100,000 took seconds. */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;
  /** What came back to the front, the last first: a million that wait behind need not be moved for it. */
  readonly #front: T[] = [];

  get size(): number {
    return this.#front.length + this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The item at this place from the front, which must exist. */
  at(index: number): T {
    const behind = index - this.#front.length;
    return (behind < 0 ? this.#front.at(-1 - index) : this.#items[this.#head + behind]) as T;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.size; index++) yield this.at(index);
  }

  shift(): T | undefined {
    if (this.#front.length > 0) return this.#front.pop();
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    this.#shrink();
    return item;
  }

  /** Takes up to `count` items from the front. */
  take(count: number): T[] {
    const first = count > 0 ? this.#front.splice(-count).reverse() : [];
    const from = this.#head;
    this.#head = Math.min(from + count - first.length, this.#items.length);
    const taken = this.#items.slice(from, this.#head) as T[];
    this.#items.fill(undefined, from, this.#head); // Or what was taken would be kept until half of the queue is.
    this.#shrink();
    return first.length === 0 ? taken : [...first, ...taken];
  }

  /** Takes out the first item that fits; false when there is none. */
  remove(fits: (item: T) => boolean): boolean {
    for (let index = 0; index < this.size; index++) {
      if (!fits(this.at(index))) continue;
      const behind = index - this.#front.length;
      if (behind < 0) this.#front.splice(-1 - index, 1);
      else this.#items.splice(this.#head + behind, 1);
      return true;
    }
    return false;
  }

  /** Puts items in front of all others. */
  prepend(items: readonly T[]): void {
    for (let index = items.length - 1; index >= 0; index--) this.#front.push(items[index] as T);
  }

  /** Lets go of the room of what was taken once it is half of the array: each item is moved at most once per halving. */
  #shrink(): void {
    if (this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}
