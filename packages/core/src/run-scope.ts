import type { RunnerSession } from "./task-runner.ts";

/** What a run hands down to the runs made in it. */
export interface ScopeInfo {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly logConsole: boolean;
}

/**
 * What the task runs made inside one run have in common: the runner that executes them, their numbering, and how many
 * are not final yet. A flow run has one; a task run gets one with the first task that it calls.
 */
export class RunScope {
  /** Runs made here are called `<id>-<number>`: an id costs no more than a counter, and tells where a run belongs. */
  readonly id: string;
  readonly flowRunId: string;
  readonly flowName: string;
  readonly logConsole: boolean;
  readonly session: RunnerSession;
  /** How the task runs ended, for a flow that returns nothing. */
  readonly tally = new Tally();
  ended = false;
  #made = 0;
  #open = 0;
  #idle: (() => void) | undefined;

  constructor(id: string, flow: ScopeInfo, session: RunnerSession) {
    this.id = id;
    this.flowRunId = flow.flowRunId;
    this.flowName = flow.flowName;
    this.logConsole = flow.logConsole;
    this.session = session;
  }

  /** Counts a new run in, and gives it its number. */
  opened(): number {
    this.#open++;
    return this.#made++;
  }

  /** Counts a run out: it is final. */
  closed(): void {
    this.#open--;
    if (this.#open === 0 && this.#idle !== undefined) {
      this.#idle();
      this.#idle = undefined;
    }
  }

  /** Keeps the scope from ending before `work`, which may make runs here, has settled. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#open++;
    try {
      return await work;
    } finally {
      this.closed();
    }
  }

  /** Resolves when no run made here is unfinished; from that moment on, none can be made. */
  async end(): Promise<void> {
    while (this.#open > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.ended = true;
  }
}

/** Counts of final states, and the first failure in order of submission: all that an aggregate state needs. */
export class Tally {
  total = 0;
  completed = 0;
  cancelled = 0;
  /** Failed and crashed runs. */
  failed = 0;
  notReady = 0;
  #firstFailureNumber = Number.POSITIVE_INFINITY;
  #firstFailure: unknown;

  add(kind: "completed" | "cancelled" | "failed" | "notReady", number: number, error: () => unknown): void {
    this.total++;
    this[kind]++;
    if (kind !== "completed" && number < this.#firstFailureNumber) {
      this.#firstFailureNumber = number;
      this.#firstFailure = error();
    }
  }

  get firstFailure(): unknown {
    return this.#firstFailure;
  }
}
