import { Queue } from "@millrace/core/internal";
import { Backlog } from "./backlog.ts";
import { type Entry, LocalEntry } from "./entries.ts";

/** The calls that could be sent, and wait for room in the window. */
export class Waiting {
  readonly #backlog = new Backlog<Entry>();
  /** Calls that running calls wait for, and those whose values were lost: ahead of the backlog, or what has begun would never end. */
  readonly #nested = new Backlog<Entry>();
  /** Calls that were in a thread or process that died: each travels alone, ahead of all others. */
  readonly #suspects = new Queue<Entry>();

  get size(): number {
    return this.#backlog.size + this.#nested.size + this.#suspects.size;
  }

  push(entry: Entry): void {
    this.#queueOf(entry).push(entry, entry.priority);
  }

  /** Puts calls, in their order, ahead of those that wait. */
  prepend(entries: readonly Entry[]): void {
    for (const entry of [...entries].reverse()) this.#queueOf(entry).prepend(entry, entry.priority);
  }

  suspect(entry: Entry): void {
    this.#suspects.push(entry);
  }

  nextSuspect(): Entry | undefined {
    return this.#suspects.shift();
  }

  /** The queue from which the next batch is taken; undefined when nothing waits. Its calls may travel together. */
  next(): Queue<Entry> | undefined {
    return this.#nested.top() ?? this.#backlog.top();
  }

  /** In the order in which they will be sent. */
  *all(): Iterable<Entry> {
    yield* this.#suspects;
    yield* this.#nested.all();
    yield* this.#backlog.all();
  }

  takeAll(): Entry[] {
    return [
      ...this.#suspects.take(this.#suspects.size),
      ...this.#nested.takeAll(),
      ...this.#backlog.takeAll(),
    ];
  }

  #queueOf(entry: Entry): Backlog<Entry> {
    return entry instanceof LocalEntry ? this.#backlog : this.#nested;
  }
}
