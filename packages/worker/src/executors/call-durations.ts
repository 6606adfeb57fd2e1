import { DurationSums, Durations, type Report } from "@millrace/broker";
import type { Execution, PendingCall } from "./pending-call.ts";

/** What is known here of how long calls take: those of a task as long as others of it before. */
export class CallDurations {
  readonly #durations = new Durations();

  /** Undefined when the task of the call is new. */
  expectedMs({ taskKey }: PendingCall): number | undefined {
    return this.#durations.expectedMs(taskKey);
  }

  /** Takes in how long calls took that have ended, and are still among those of their batch. */
  learn({ taskKeys, calls }: Execution, { outcomes }: Report): void {
    const took = new DurationSums();
    for (const outcome of outcomes) {
      const task = calls.get(outcome.sequence)?.call.task;
      if (task !== undefined) took.add(taskKeys[task] as string, outcome);
    }
    took.addTo(this.#durations);
  }
}
