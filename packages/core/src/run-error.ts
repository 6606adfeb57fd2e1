import { CancelledRunError, CrashedRunError, FailedRunError } from "./errors.ts";
import type { StateType } from "./state.ts";

/**
 * What to throw at whoever asks for the value of a run that has none: what the user threw, as it was; otherwise an
 * error of the kind of the state, with the state's words.
 */
export function runError(type: StateType, data: unknown, message: string, subject: string): unknown {
  if (data instanceof Error || (type === "FAILED" && data !== undefined && typeof data !== "string")) return data;
  const words = typeof data === "string" ? data : message || `${subject} ended ${type}.`;
  if (type === "CANCELLED") return new CancelledRunError(words);
  return type === "CRASHED" ? new CrashedRunError(words) : new FailedRunError(words);
}
