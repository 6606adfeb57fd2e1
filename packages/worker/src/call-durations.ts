import { Durations, type Report } from "@millrace/broker";
import type { Execution, PendingCall } from "./pending-call.ts";

/** What is known here of how long calls take: those of a task as long as others of it before. */
export class CallDurations {
  readonly #durations = new Durations<string>();

  /** Undefined when the task of the call is new. */
  expectedMs({ taskKey }: PendingCall): number | undefined {
    return this.#durations.expectedMs(taskKey);
  }

  /**
   * Takes in how long calls took that have ended, and are still among those of their batch. Calls of one task in a row count
   * as one observation: their mean is steadier than any of them.
   */
  learn({ taskKeys, calls }: Execution, { outcomes }: Report): void {
    for (let first = 0; first < outcomes.length; ) {
      const task = calls.get(outcomes[first]!.sequence)?.call.task;
      let last = first;
      let micros = 0;
      while (last < outcomes.length && calls.get(outcomes[last]!.sequence)?.call.task === task)
        micros += outcomes[last++]!.durationMicros;
      if (task !== undefined) this.#durations.observe(taskKeys[task] as string, last - first, micros / 1000);
      first = last;
    }
  }
}
