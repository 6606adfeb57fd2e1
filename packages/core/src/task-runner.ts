import type { TaskDefinition } from "./task-definition.ts";

/**
 * Decides where calls are executed. An instance is only configuration: every flow run opens a session of its own, so
 * one instance can serve many flow runs at once, one after the other or nested.
 */
export interface TaskRunner {
  readonly name: string;
  /** Gets ready to execute calls. Rejects with a MillraceError when it cannot. */
  open(): Promise<RunnerSession>;
}

/** The runner at work for one flow run. */
export interface RunnerSession {
  /**
   * Takes a call whose inputs are all there, and executes it once. Returns at once, never throws, and calls
   * `call.settle` exactly once, later.
   */
  submit(call: Call): void;
  /** Ends the session, when every submitted call has settled. Never rejects; safe to call twice. */
  close(): Promise<void>;
}

/** What a runner is given to execute once: one attempt of one task run. */
export interface Call {
  readonly task: TaskDefinition;
  /** As the user gave them: futures, at any depth, are in place of their values. They are all completed. */
  readonly args: readonly unknown[];
  /** Does `args` contain futures? When not, they need no search. */
  readonly hasInputs: boolean;
  /** The run in which the task was called. */
  readonly scope: CallScope;
  /** `<scope id>-<number>` is the task run's id. */
  readonly number: number;
  readonly taskRunId: string;
  readonly flowRunId: string;
  readonly flowName: string;
  /** Counted from 1. */
  readonly attempt: number;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  settle(outcome: Outcome): void;
}

export interface CallScope {
  readonly id: string;
  readonly flowRunId: string;
  readonly flowName: string;
  readonly logConsole: boolean;
}

/**
 * How a call ended. A runner reports what happened and decides nothing: retries and states are the engine's.
 * A `value` may be an EncodedValue, which is decoded when somebody asks.
 */
export type Outcome =
  | { readonly type: "returned"; readonly value: unknown }
  /** The user's function threw, or the user's input or module is at fault. `retriable`: would trying again help? */
  | { readonly type: "threw"; readonly error: unknown; readonly retriable: boolean }
  /** The world around the user's function is at fault. */
  | { readonly type: "crashed"; readonly error: Error };
