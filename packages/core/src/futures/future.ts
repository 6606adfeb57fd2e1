import type { TaskRun } from "../engine/task-run.ts";
import { Input } from "../values/input.ts";
import { gather } from "./gather.ts";
import type { State } from "./state.ts";

/**
 * The handle of a task run, given by `submit` and `map`. `await future` gives the value or throws what the run failed
 * with; pass it to another task, at any depth of the arguments, in place of its value.
 *
 * A future that nobody awaits never becomes an unhandled rejection: its failure counts in the flow's final state.
 */
export class TaskFuture<R> extends Input implements PromiseLike<R> {
  /** The engine's record. Not for users: it changes while the run goes on. @internal */
  readonly run: TaskRun;
  declare private readonly resultType: R; // Makes futures of different results different types.

  constructor(run: TaskRun) {
    super();
    this.run = run;
  }

  /** `<flow run id>-<number>`, the number counting the flow run's tasks in order of submission. */
  get taskRunId(): string {
    return this.run.taskRunId;
  }

  /** The state of the run at this moment. */
  get state(): State {
    return this.run.state();
  }

  /**
   * Waits until the run is final. Rejects with SelfDependencyError inside the run itself, else never.
   *
   * @param timeoutSeconds how long to wait at most; without it, for ever
   * @returns the final state, or undefined when the time passed first
   */
  wait(timeoutSeconds?: number): Promise<State | undefined> {
    return this.run.wait(timeoutSeconds);
  }

  /** The value of the run. Rejects with what the run failed with; see `UnfinishedRunError` for one that never ran. */
  result(): Promise<R> {
    return this.run.result() as Promise<R>;
  }

  /**
   * Ends the run early: one that waits is dropped, one that runs gets its signal and, in a worker, is stopped should it
   * go on. Without effect on one that is final.
   *
   * @returns the final state, when it is reached: CANCELLED unless the run ended otherwise first
   */
  cancel(message = "The task run was cancelled."): Promise<State> {
    this.run.cancel(message);
    return this.run.wait() as Promise<State>;
  }

  // biome-ignore lint/suspicious/noThenProperty: a future is thenable on purpose, so that `await` gives its value.
  then<A = R, B = never>(
    onValue?: ((value: R) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result().then(onValue, onError);
  }
}

/**
 * A future as a `for await` loop over futures gives it: the same object, typed without `then`. For `await` and so for
 * TypeScript, a loop over futures is one over their values; these loops are not.
 */
export type LoopFuture<R> = Pick<TaskFuture<R>, "taskRunId" | "state" | "wait" | "result" | "cancel">;

/** An array of futures, in the order of the input, with what one wants of all of them. */
export class TaskFutureList<R> extends Array<TaskFuture<R>> {
  /** `list.map(...)` and its like give plain arrays: their elements need not be futures. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  /** The values in order. Rejects as soon as one run fails, with its error; the others go on. */
  results(): Promise<R[]> {
    const runs = Array.from(this, ({ run }) => run);
    const results = gather(runs, true).then(() => runs.map((run) => run.value() as R));
    results.catch(() => {}); // Nobody need await it, as with a single future's.
    return results;
  }

  /** The final states in order, once all runs are final. Never rejects. */
  wait(): Promise<State[]> {
    const runs = Array.from(this, ({ run }) => run);
    return gather(runs, false).then(() => runs.map((run) => run.state()));
  }
}
