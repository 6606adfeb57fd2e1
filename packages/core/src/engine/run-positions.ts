import type { FinalKind } from "./tally.ts";

/** A run as its place in the flow finds it again. */
export interface PositionedRun {
  readonly number: number;
  finalKind(): FinalKind | undefined;
}

/**
 * Which run is which when a flow is tried again: the n-th run of a task in one attempt is its n-th run in every other,
 * with the same id. One that completed is not executed again. (Prefect's rule, prefect-behaviour section 1.6,
 * "Identity"; so a flow that branches differently in its retry may be given a result of the other branch.)
 */
export class RunPositions {
  readonly #runs = new Map<string, PositionedRun[]>();
  readonly #made = new Map<string, number>();
  #numbers = 0;

  /** The flow's function starts over. */
  startAttempt(): void {
    this.#made.clear();
  }

  nextNumber(): number {
    return this.#numbers++;
  }

  /** The next run of the task or flow with this key, as an earlier attempt made it, if one did. */
  earlier(key: string): PositionedRun | undefined {
    return this.#runs.get(key)?.[this.#made.get(key) ?? 0];
  }

  /** Puts a run at the next position of its key. */
  place(key: string, run: PositionedRun): void {
    const position = this.#made.get(key) ?? 0;
    this.#made.set(key, position + 1);
    const runs = this.#runs.get(key);
    if (runs === undefined) this.#runs.set(key, [run]);
    else runs[position] = run;
  }
}
