import type { TaskDefinition } from "../definitions/task-definition.ts";
import type { AttemptInfo } from "../engine/attempt.ts";
import type { ScopeOwner } from "../engine/run-scope.ts";
import type { SessionServices } from "../engine/run-services.ts";
import type { CallSurvey } from "../engine/why-open.ts";
import type { DistantValue } from "../values/distant-value.ts";

/**
 * Decides where calls are executed. An instance is only configuration: every flow run opens a session of its own, so
 * one instance can serve many flow runs at once, one after the other or nested.
 */
export interface TaskRunner {
  readonly name: string;
  /** Gets ready to execute calls. Rejects with a MillraceError when it cannot. */
  open(flowRun: SessionOwner): Promise<RunnerSession>;
}

/** The flow run for which a session is opened, for those who look at who uses a cluster. */
export interface SessionOwner {
  readonly flowRunId: string;
  readonly flowName: string;
}

/**
 * Calls of a runner that does not say: enough that the cost of an event loop's turn, some microseconds, is shared by many. A thousand
 * no-op tasks keep it busy for 2 ms (bench: engine).
 */
export const DEFAULT_WINDOW_CALLS = 1000;

/** The runner at work for one flow run. */
export interface RunnerSession extends SessionServices {
  /**
   * Takes a call whose inputs are all there, and executes it once. Returns at once, never throws, and calls
   * `call.settle` exactly once, later.
   */
  submit(call: Call): void;
  /**
   * Tells of a call that will be submitted once all of these runs have completed, so that it can be sent along with
   * them: it may be executed as soon as they have returned, but its outcome counts only when it has been submitted.
   * Left out: the runner wants to hear of calls that can start, and of no others.
   */
  foresee?(call: Call, upstream: readonly UpstreamRun[]): void;
  /**
   * Asks for the end of a call that was submitted: it is dropped when it waits; when it runs, its signal fires, and
   * where the runner can, it is stopped should it go on. Its outcome is `cancelled`, unless it ended in another way
   * first. A call that has settled is left alone; one that was only foreseen is forgotten, unless it is on its way: then it
   * settles as well. Returns at once, never throws.
   *
   * @returns whether the call will settle
   */
  cancel(call: Call): boolean;
  /**
   * Can the runner pass this value, which is not in this process, on to a call? What it cannot is loaded before the
   * call is submitted. Left out: none.
   */
  forwards?(value: DistantValue): boolean;
  /**
   * How many unfinished calls of the task, at this moment, are enough to keep the runner busy: of an async iterable, `map`
   * submits so many ahead. 1 or more. Left out: DEFAULT_WINDOW_CALLS.
   */
  windowFor?(task: TaskDefinition): number;
  /**
   * Looks at where the calls are that it was given and that have not settled, for those who ask why a run is not final. Costs
   * nothing until it is called. Never rejects. Left out: the runner has them, and does not say more.
   */
  survey?(): Promise<CallSurvey>;
  /** Ends the session, when every submitted call has settled. Never rejects; safe to call twice. */
  close(): Promise<void>;
}

/** What a runner is given to execute once: one attempt of one task run. */
export interface Call extends AttemptInfo {
  readonly task: TaskDefinition;
  /** As the user gave them: futures, at any depth, are in place of their values. They are all completed. */
  readonly args: readonly unknown[];
  /** Does `args` contain futures? When not, they need no search. */
  readonly hasInputs: boolean;
  /** The run in which the task was called. */
  readonly scope: CallScope;
  /** `<scope id>-<number>` is the task run's id. */
  readonly number: number;
  /** The run's name when it is not `<task name>-<number>`. */
  readonly givenName: string | undefined;
  /** For the runner's own use, while the call is with it. */
  ticket: unknown;
  settle(outcome: Outcome): void;
}

/** A run that a foreseen call waits for. */
export interface UpstreamRun {
  /** What the runner keeps of the run's call, while that is with it. */
  readonly ticket?: unknown;
  isFinal(): boolean;
  /** Now that it is final: may a call that needs its value start? */
  lets(isFailureAllowed: boolean): boolean;
}

/** What the calls made inside one run have in common. */
export interface CallScope {
  readonly id: string;
  readonly owner: ScopeOwner;
}

/**
 * How a call ended. A runner reports what happened and decides nothing: retries and states are the engine's.
 * A `value` may be an EncodedValue, which is decoded when somebody asks.
 */
export type Outcome =
  | { readonly type: "returned"; readonly value: unknown }
  /** The user's function threw, or the user's input or module is at fault. `retriable`: would trying again help? */
  | { readonly type: "threw"; readonly error: unknown; readonly retriable: boolean }
  /** The attempt took longer than `timeoutSeconds`. */
  | { readonly type: "timed-out"; readonly error: Error }
  /** It was ended because `cancel` asked for it. */
  | { readonly type: "cancelled" }
  /** The world around the user's function is at fault. */
  | { readonly type: "crashed"; readonly error: Error };
