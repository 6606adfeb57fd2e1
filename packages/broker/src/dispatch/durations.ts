import type { CallOutcome } from "../wire/report.ts";

/**
 * The least that a call is expected to take: what a thread spends on it besides the function, 2 to 3 µs. Plans are made of
 * sums, and calls that took no time would be planned without end.
 */
export const LEAST_CALL_MS = 0.002;

/**
 * What is known of how long calls of a task take: a moving average, so that it follows a task whose inputs change.
 */
export class Durations {
  readonly #averageMs = new Map<string, number>();

  /** Milliseconds that a call of the task is expected to take; undefined when none has ended yet. */
  expectedMs(key: string): number | undefined {
    const averageMs = this.#averageMs.get(key);
    return averageMs === undefined ? undefined : Math.max(averageMs, LEAST_CALL_MS);
  }

  /** Takes in that `calls` calls took `totalMs` together. */
  observe(key: string, calls: number, totalMs: number): void {
    const mean = totalMs / calls;
    const known = this.#averageMs.get(key);
    // A group of calls weighs as one observation, and one observation a third: a task that suddenly takes ten times
    // as long is believed after a few groups, one odd call is not.
    this.#averageMs.set(key, known === undefined ? mean : known + (mean - known) / 3);
  }
}

/** What the calls of one report took, by task: together they are one observation of it. */
export class DurationSums {
  readonly #sums = new Map<string, { calls: number; micros: number }>();

  /** Left out is a call that nobody measured, as one that was ended with its thread, and one that was cut short: it would have taken longer. */
  add(key: string, { kind, durationMicros: micros }: Pick<CallOutcome, "kind" | "durationMicros">): void {
    if (micros === 0 || kind === "cancelled") return;
    const sum = this.#sums.get(key);
    if (sum === undefined) this.#sums.set(key, { calls: 1, micros });
    else {
      sum.calls++;
      sum.micros += micros;
    }
  }

  addTo(durations: Durations): void {
    for (const [key, { calls, micros }] of this.#sums) durations.observe(key, calls, micros / 1000);
  }
}
