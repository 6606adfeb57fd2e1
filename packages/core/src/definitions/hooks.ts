import type { State } from "../futures/state.ts";
import type { OptionRule } from "./options.ts";
import * as rules from "./options.ts";

/** What a task's hooks and other functions learn of the run. */
export interface TaskRunInfo {
  readonly taskRunId: string;
  readonly taskName: string;
  readonly taskRunName: string;
  readonly taskVersion: string | undefined;
  /** The source text of the task's function. */
  readonly taskSource: string;
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  /** Attempts begun so far. */
  readonly attempt: number;
  readonly tags: readonly string[];
  /** The arguments, with values in the places of futures. */
  readonly parameters: readonly unknown[];
}

/** What a hook of a flow learns of the run. */
export interface FlowRunInfo {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  /** Attempts begun so far. */
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly parameters: unknown;
}

/** Called when a run enters a state. It may return a promise; the flow run does not end before. */
export type Hook<Info> = (run: Info, state: State) => unknown;

export const hookList: OptionRule = {
  expected: "an array of functions",
  accepts: (value) => Array.isArray(value) && value.every(rules.func.accepts),
};

/** Calls hooks one after the other, in their order. One that throws is told to `onError`; the others are called all the same. */
export async function callHooks<Info>(
  hooks: readonly Hook<Info>[],
  run: Info,
  state: State,
  onError: (error: unknown) => void,
): Promise<void> {
  for (const hook of hooks) {
    try {
      await hook(run, state);
    } catch (error) {
      onError(error);
    }
  }
}
