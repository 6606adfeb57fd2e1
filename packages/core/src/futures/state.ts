/**
 * States of flow runs and task runs. A state is a type (what the engine acts on), a name (what a person reads, a
 * refinement of the type), a time, a message and data. State objects are immutable, and made only when somebody looks.
 */

/**
 * | type      | enters when                                        | leaves to                              |
 * | --------- | -------------------------------------------------- | -------------------------------------- |
 * | SCHEDULED | a failed attempt will be tried again later          | RUNNING                                |
 * | PENDING   | the run exists; inputs or a slot are not there yet  | RUNNING, CANCELLED; NotReady is final  |
 * | RUNNING   | the function has been given to an event loop/worker | SCHEDULED, or a final state            |
 * | COMPLETED | the function returned                               | final                                  |
 * | FAILED    | the user's code or input is at fault                | final                                  |
 * | CANCELLED | somebody asked                                      | final                                  |
 * | CRASHED   | the world around the user's code is at fault        | final                                  |
 */
export type StateType =
  | "SCHEDULED"
  | "PENDING"
  | "RUNNING"
  | "COMPLETED"
  | "FAILED"
  | "CANCELLED"
  | "CRASHED";

/** What a state may be made with, besides its type. */
export interface StateInit {
  /** Default: the type in title case. */
  readonly name?: string;
  /** Default: empty. */
  readonly message?: string;
  /** The value of a completed run; the error of a failed, crashed or cancelled one. Default: undefined. */
  readonly data?: unknown;
  /** Milliseconds since the epoch. Default: now. */
  readonly timestamp?: number;
  /** The run that the state belongs to. A state made by hand has none: that is how the engine tells them apart. */
  readonly runId?: string;
}

const TITLES: Record<StateType, string> = {
  SCHEDULED: "Scheduled",
  PENDING: "Pending",
  RUNNING: "Running",
  COMPLETED: "Completed",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  CRASHED: "Crashed",
};

export function isStateType(value: unknown): value is StateType {
  return typeof value === "string" && Object.hasOwn(TITLES, value);
}

export class State {
  readonly type: StateType;
  readonly name: string;
  readonly message: string;
  readonly data: unknown;
  readonly timestamp: number;
  readonly runId: string | undefined;

  constructor(type: StateType, init: StateInit = {}) {
    this.type = type;
    this.name = init.name ?? TITLES[type];
    this.message = init.message ?? "";
    this.data = init.data;
    this.timestamp = init.timestamp ?? Date.now();
    this.runId = init.runId;
  }

  /** True when the run will not change its state again. A NotReady run is pending for ever, and so final. */
  isFinal(): boolean {
    return FINAL_TYPES.has(this.type) || this.name === "NotReady";
  }

  isCompleted(): boolean {
    return this.type === "COMPLETED";
  }

  isFailed(): boolean {
    return this.type === "FAILED";
  }

  isCrashed(): boolean {
    return this.type === "CRASHED";
  }

  isCancelled(): boolean {
    return this.type === "CANCELLED";
  }

  isRunning(): boolean {
    return this.type === "RUNNING";
  }

  isPending(): boolean {
    return this.type === "PENDING";
  }

  isScheduled(): boolean {
    return this.type === "SCHEDULED";
  }
}

const FINAL_TYPES: ReadonlySet<StateType> = new Set(["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]);

/** A state made by hand. Returned from a task or a flow, it becomes the final state of that run. */
export const Completed = (init?: StateInit): State => new State("COMPLETED", init);
/** @see Completed */
export const Failed = (init?: StateInit): State => new State("FAILED", init);
/** @see Completed */
export const Cancelled = (init?: StateInit): State => new State("CANCELLED", init);
/** @see Completed */
export const Crashed = (init?: StateInit): State => new State("CRASHED", init);
