import { monotonicMs, type ThreadState } from "./thread-state.ts";

/** Keeps in shared memory which of the running calls is the next whose time is over. */
export class TimeLimits {
  readonly #state: ThreadState;
  /** By the number of the call. */
  readonly #endsAt = new Map<number, number>();

  constructor(state: ThreadState) {
    this.#state = state;
  }

  begin(call: number, timeoutSeconds: number): void {
    this.#endsAt.set(call, monotonicMs() + timeoutSeconds * 1000);
    this.#update();
  }

  end(call: number): void {
    if (this.#endsAt.size > 0 && this.#endsAt.delete(call)) this.#update();
  }

  #update(): void {
    let next: readonly [call: number, endsAt: number] = [0, 0];
    for (const entry of this.#endsAt) if (next[1] === 0 || entry[1] < next[1]) next = entry;
    this.#state.setLimit(...next);
  }
}
