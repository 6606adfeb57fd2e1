import type { State, StateType } from "../futures/state.ts";
import { processLogger } from "../logger.ts";

/** A state as observers see it: without data, which may be large, and may not leave the process. */
export interface StateSummary {
  readonly type: StateType;
  readonly name: string;
  readonly message: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
}

/** A flow run has entered a state: its first one, PENDING, included. */
export interface FlowRunStateEvent {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  readonly flowVersion: string | undefined;
  /** The task run that stands for this run in its parent flow; undefined at the top. */
  readonly parentTaskRunId: string | undefined;
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly parameters: unknown;
  readonly state: StateSummary;
}

/** A task run has entered a state: its first one, PENDING, included. */
export interface TaskRunStateEvent {
  readonly taskRunId: string;
  readonly taskName: string;
  readonly taskRunName: string;
  readonly taskVersion: string | undefined;
  readonly flowRunId: string;
  /** The task run whose function made this one; undefined when the flow's own function did. */
  readonly parentTaskRunId: string | undefined;
  /** Set on a placeholder: the run of the flow that was called. */
  readonly childFlowRunId: string | undefined;
  /** 0 before the first attempt. */
  readonly attempt: number;
  readonly tags: readonly string[];
  /** The task runs that this one needs, from its arguments and `waitFor`. */
  readonly inputs: readonly string[];
  readonly state: StateSummary;
}

/** Every event of runs, by its name. */
export interface RunEventMap {
  readonly "flow-run-state": FlowRunStateEvent;
  readonly "task-run-state": TaskRunStateEvent;
}

/** Called with each event of the names that it has, in their order for each run, in the flow's process. */
export type RunObserver = { readonly [Name in keyof RunEventMap]?: (event: RunEventMap[Name]) => void };

let observers: readonly RunObserver[] = [];

/**
 * Calls `observer` with what happens to every run of this process, and of the workers that serve it, from now on. An
 * observer that throws is logged, and disturbs nothing.
 *
 * @returns what ends it
 */
export function observeRuns(observer: RunObserver): () => void {
  observers = [...observers, observer];
  return () => {
    observers = observers.filter((other) => other !== observer);
  };
}

/** Where the events of runs go. */
export interface RunEventSink {
  /** Ask before an event is made: nobody should pay for what nobody observes. */
  readonly isObserved: boolean;
  emit<Name extends keyof RunEventMap>(name: Name, event: RunEventMap[Name]): void;
}

/** To the observers of this process. */
export const processEvents: RunEventSink = {
  get isObserved() {
    return observers.length > 0;
  },
  emit(name, event) {
    for (const observer of observers) {
      try {
        observer[name]?.(event);
      } catch (error) {
        processLogger().error({ err: error, event: name }, "an observer of runs failed");
      }
    }
  },
};

export function summaryOf({ type, name, message, timestamp }: State): StateSummary {
  return { type, name, message, timestamp };
}
