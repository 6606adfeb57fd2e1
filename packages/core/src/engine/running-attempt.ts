import { CancelledRunError, RunTimeoutError } from "../errors/errors.ts";
import type { Outcome } from "../runners/task-runner.ts";
import type { AttemptContext } from "./attempt.ts";
import { resolveReturned } from "./final-state.ts";
import type { RunScope } from "./run-scope.ts";

/** An attempt whose function has not ended yet. */
export class RunningAttempt {
  /** How the attempt ended: the first of the function's end, its time-out, and a request to end it. Never rejects. */
  readonly outcome: Promise<Outcome>;
  /** Resolves when the function itself has ended, which may be long after its time was over. Never rejects. */
  readonly functionEnded: Promise<void>;
  readonly #context: AttemptContext;
  #resolve!: (outcome: Outcome) => void;
  #isInterrupted = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param startedAt on the clock of `performance.now()`; read only with a time limit */
  constructor(
    context: AttemptContext,
    returned: Promise<unknown>,
    timeoutSeconds: number | undefined,
    startedAt: number,
  ) {
    this.#context = context;
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    if (timeoutSeconds !== undefined) {
      const error = new RunTimeoutError("Task run", timeoutSeconds);
      const leftMs = startedAt + timeoutSeconds * 1000 - performance.now();
      this.#timer = setTimeout(() => void this.#interrupt({ type: "timed-out", error }, error), leftMs);
    }
    this.functionEnded = this.#follow(returned);
  }

  /** The runs that the function has made; undefined when it has made none. */
  get scope(): RunScope | undefined {
    return this.#context.hasScope ? this.#context.scope() : undefined;
  }

  /** Ends the attempt as cancelled: its signal fires, and the runs that it has made are cancelled. */
  cancel(message: string): void {
    void this.#interrupt({ type: "cancelled" }, new CancelledRunError(message));
  }

  /** Ends the attempt with an error that the function left floating: a rejection that nobody handled. */
  fail(error: unknown): void {
    const reason = error instanceof Error ? error : new Error(String(error));
    void this.#interrupt({ type: "threw", error, retriable: true }, reason);
  }

  /** Waits for the function, for the futures in what it returned, and for every task that it submitted. */
  async #follow(returned: Promise<unknown>): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = { type: "returned", value: await resolveReturned(await returned) };
    } catch (error) {
      outcome = { type: "threw", error, retriable: true };
    }
    await this.#context.end();
    clearTimeout(this.#timer);
    if (!this.#isInterrupted) this.#resolve(outcome);
  }

  async #interrupt(outcome: Outcome, reason: Error): Promise<void> {
    if (this.#isInterrupted) return;
    this.#isInterrupted = true;
    clearTimeout(this.#timer);
    this.#context.abort(reason);
    await this.#context.end();
    this.#resolve(outcome);
  }
}
