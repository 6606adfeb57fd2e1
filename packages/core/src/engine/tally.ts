/** How a run counts in the state that many runs make together. */
export type FinalKind = "completed" | "cancelled" | "failed" | "notReady";

/** Counts of final states, and the first failure in order of submission: all that an aggregate state needs. */
export class Tally {
  total = 0;
  completed = 0;
  cancelled = 0;
  /** Failed and crashed runs. */
  failed = 0;
  notReady = 0;
  #firstFailureNumber = Number.POSITIVE_INFINITY;
  #firstFailure: unknown;

  add(kind: FinalKind, number: number, error: () => unknown): void {
    this.total++;
    this[kind]++;
    if (kind !== "completed" && number < this.#firstFailureNumber) {
      this.#firstFailureNumber = number;
      this.#firstFailure = error();
    }
  }

  get firstFailure(): unknown {
    return this.#firstFailure;
  }
}
