import { Queue } from "@millrace/core/internal";

/** What waits: a higher priority first, and first in, first out among equals. */
export class Backlog<T> {
  /** The highest first. Few: as many as there are priorities in use. */
  #levels: { readonly priority: number; readonly queue: Queue<T> }[] = [];

  get size(): number {
    let size = 0;
    for (const { queue } of this.#levels) size += queue.size;
    return size;
  }

  push(item: T, priority: number): void {
    this.#level(priority).push(item);
  }

  /** Puts an item in front of all others of its priority. */
  prepend(item: T, priority: number): void {
    this.#level(priority).prepend([item]);
  }

  /** The queue of the highest priority that has anything; undefined when nothing waits. */
  top(): Queue<T> | undefined {
    return this.#levels.find(({ queue }) => queue.size > 0)?.queue;
  }

  /** Everything, in order. */
  *all(): Iterable<T> {
    for (const { queue } of this.#levels) yield* queue;
  }

  /** Takes everything, in order. */
  takeAll(): T[] {
    return this.#levels.flatMap(({ queue }) => queue.take(queue.size));
  }

  #level(priority: number): Queue<T> {
    const [first] = this.#levels;
    if (first?.priority === priority) return first.queue; // Mostly there is one.
    let level = this.#levels.find((known) => known.priority === priority);
    if (level === undefined) {
      level = { priority, queue: new Queue<T>() };
      this.#levels = [...this.#levels, level].sort((a, b) => b.priority - a.priority);
    }
    return level.queue;
  }
}
