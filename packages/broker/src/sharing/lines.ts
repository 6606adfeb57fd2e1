import { Line } from "@millrace/core/internal";

/** A line for each name, and values that stand in several of them at once. */
export class Lines<T extends { readonly names: readonly string[] }> {
  readonly #lines = new Map<string, Line<T>>();

  /** Those in which somebody stands. */
  get names(): string[] {
    return [...this.#lines.keys()];
  }

  /** Puts the value at the end of the line of each of its names. Gives what takes it out of all of them. */
  join(value: T): () => void {
    const leaves = value.names.map((name) => this.#line(name).join(value));
    return () => {
      for (const leave of leaves) leave();
      for (const name of value.names) if (this.first(name) === undefined) this.#lines.delete(name);
    };
  }

  first(name: string): T | undefined {
    return this.#lines.get(name)?.first;
  }

  /** Is it first in every line in which it stands? */
  isInFront(value: T): boolean {
    return value.names.every((name) => this.first(name) === value);
  }

  #line(name: string): Line<T> {
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = new Line();
      this.#lines.set(name, line);
    }
    return line;
  }
}
