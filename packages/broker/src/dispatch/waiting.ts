import { Queue } from "@millrace/core/internal";
import { Backlog } from "./backlog.ts";
import { type Entry, LocalEntry } from "./entries.ts";

/** The calls that could be sent, and wait for room in the window. */
export class Waiting {
  readonly #backlog = new Backlog<Entry>();
  /** Calls that running calls wait for, and those whose values were lost: ahead of the backlog, or what has begun would never end. */
  readonly #nested = new Backlog<Entry>();
  /** Calls that may have killed a thread or process: each travels alone, ahead of all others. */
  readonly #alone = new Queue<Entry>();

  get size(): number {
    return this.#backlog.size + this.#nested.size + this.#alone.size;
  }

  push(entry: Entry): void {
    if (entry.isAlone) this.#alone.push(entry);
    else this.#queueOf(entry).push(entry, entry.priority);
  }

  /** Puts calls, in their order, ahead of those that wait. */
  prepend(entries: readonly Entry[]): void {
    for (const entry of [...entries].reverse()) {
      if (entry.isAlone) this.#alone.prepend([entry]);
      else this.#queueOf(entry).prepend(entry, entry.priority);
    }
  }

  /** The next call that travels alone. */
  nextAlone(): Entry | undefined {
    return this.#alone.shift();
  }

  /** The queue from which the next batch is taken; undefined when nothing waits. Its calls may travel together. */
  next(): Queue<Entry> | undefined {
    return this.#nested.top() ?? this.#backlog.top();
  }

  /** In the order in which they will be sent. */
  *all(): Iterable<Entry> {
    yield* this.#alone;
    yield* this.#nested.all();
    yield* this.#backlog.all();
  }

  takeAll(): Entry[] {
    return [...this.#alone.take(this.#alone.size), ...this.#nested.takeAll(), ...this.#backlog.takeAll()];
  }

  #queueOf(entry: Entry): Backlog<Entry> {
    return entry instanceof LocalEntry ? this.#backlog : this.#nested;
  }
}
