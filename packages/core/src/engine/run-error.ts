import { CancelledRunError, CrashedRunError, FailedRunError, UnfinishedRunError } from "../errors/errors.ts";
import type { State, StateType } from "../futures/state.ts";

/**
 * What to throw at whoever asks for the value of a run that has none: what the user threw, as it was; otherwise an
 * error of the kind of the state, with the state's words.
 */
export function runError(type: StateType, data: unknown, message: string, subject: string): unknown {
  if (data instanceof Error || (type === "FAILED" && data !== undefined && typeof data !== "string"))
    return data;
  const words = typeof data === "string" ? data : message || `${subject} ended ${type}.`;
  if (type === "CANCELLED") return new CancelledRunError(words);
  return type === "CRASHED" ? new CrashedRunError(words) : new FailedRunError(words);
}

/** The same for a state that somebody holds: of a run, or made by hand. */
export function stateError({ type, name, data, message, runId }: State): unknown {
  if (!FAILURES.has(type)) return new UnfinishedRunError(runId ?? "(unknown)", name, message);
  return runError(type, data, message, runId === undefined ? "A run" : `Run ${runId}`);
}

const FAILURES: ReadonlySet<StateType> = new Set(["FAILED", "CRASHED", "CANCELLED"]);
