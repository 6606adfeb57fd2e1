import type { ScopeOwner } from "@millrace/core/internal";
import type { RunningCall } from "./running-call.ts";
import type { ThreadState } from "./thread-state.ts";

/** The calls whose functions have not ended at once: they await something. */
export class RunningCalls {
  readonly #calls = new Set<RunningCall>();
  readonly #state: ThreadState;

  /** @param state is told how many there are */
  constructor(state: ThreadState) {
    this.#state = state;
  }

  get isEmpty(): boolean {
    return this.#calls.size === 0;
  }

  add(call: RunningCall): void {
    this.#calls.add(call);
    this.#state.setAwaiting(this.#calls.size);
  }

  delete(call: RunningCall): void {
    this.#calls.delete(call);
    this.#state.setAwaiting(this.#calls.size);
  }

  has(call: RunningCall): boolean {
    return this.#calls.has(call);
  }

  find(batchId: string, sequence: number): RunningCall | undefined {
    for (const running of this.#calls)
      if (running.call.sequence === sequence && running.batch.id === batchId) return running;
    return undefined;
  }

  /** The call that the context is part of. */
  callOf(context: ScopeOwner): RunningCall | undefined {
    for (const running of this.#calls)
      if (running.info !== undefined && context.isWithin(running.info)) return running;
    return undefined;
  }

  /** Ends what runs of the task run with an error. */
  fail(taskRunId: string, error: unknown): void {
    for (const call of this.#calls) if (call.taskRunId === taskRunId) call.attempt?.fail(error);
  }

  /** Are there so many, those that wait for answers not counted? */
  areAsMany(calls: number): boolean {
    if (this.#calls.size < calls) return false;
    let underWay = 0;
    for (const running of this.#calls) if (!running.isParked) underWay++;
    return underWay >= calls;
  }
}
