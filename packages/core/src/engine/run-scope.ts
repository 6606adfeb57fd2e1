import type { State } from "../futures/state.ts";
import type { CallScope, RunnerSession } from "../runners/task-runner.ts";
import type { RunPositions } from "./run-positions.ts";
import type { RunServices } from "./run-services.ts";
import { Tally } from "./tally.ts";
import type { CallSurvey, WhyOpen } from "./why-open.ts";

/** What a scope hands down to the runs made in it: from its flow run, or from the task run whose function makes them. */
export interface ScopeOwner {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly flowRunName: string;
  /** Undefined: the runs are made in the flow's own function. */
  readonly taskRunId: string | undefined;
  readonly logConsole: boolean;
  readonly services: RunServices;
  /** Names under which the owner, or a run that it is made in, holds slots: its own runs need not wait for those. */
  readonly heldLimits: readonly string[];
  /** Is the owner the run itself, or a run that was made inside it? As far as this process can tell. */
  isWithin(run: object): boolean;
}

/** A run that a scope answers for. The open ones of a scope are a chain through them: see `opened`. */
export interface ScopeMember {
  openedBefore: ScopeMember | undefined;
  openedAfter: ScopeMember | undefined;
  readonly taskRunId: string;
  readonly taskRunName: string;
  /** Ends it early, soon. Without effect on one that is final. */
  cancel(message: string): void;
  state(): State;
  isFinal(): boolean;
  whyOpen(survey: CallSurvey): WhyOpen;
}

/**
 * What the task runs made inside one run have in common: the runner that executes them, their numbering, and which of
 * them are not final yet. An attempt of a flow has one; an attempt of a task gets one with the first task that it calls.
 */
export class RunScope implements CallScope {
  /** Runs made here are called `<id>-<number>`: an id costs no more than a counter, and tells where a run belongs. */
  readonly id: string;
  readonly owner: ScopeOwner;
  readonly session: RunnerSession;
  /** In a flow that may be retried: its runs in earlier attempts. */
  readonly positions: RunPositions | undefined;
  /** How the runs ended, for a flow that returns nothing. */
  readonly tally = new Tally();
  ended = false;
  /** Set once the scope is cancelled. */
  cancelMessage: string | undefined;
  #open = 0;
  #lastOpened: ScopeMember | undefined;
  /** Work that is no run, and may make some. */
  #pending = 0;
  #made = 0;
  /** Those who wait for the end. */
  #idle: (() => void)[] = [];

  constructor(id: string, owner: ScopeOwner, session: RunnerSession, positions?: RunPositions) {
    this.id = id;
    this.owner = owner;
    this.session = session;
    this.positions = positions;
  }

  /** A number for a new run. */
  nextNumber(): number {
    return this.positions === undefined ? this.#made++ : this.positions.nextNumber();
  }

  /** Counts a new run in. A chain and not a Set, which holds 16.7 million at most, and stands still as it grows. */
  opened(run: ScopeMember): void {
    this.#open++;
    run.openedBefore = this.#lastOpened;
    if (this.#lastOpened !== undefined) this.#lastOpened.openedAfter = run;
    this.#lastOpened = run;
  }

  /** Counts a run out: it is final. */
  closed(run: ScopeMember): void {
    const { openedBefore, openedAfter } = run;
    if (openedBefore !== undefined) openedBefore.openedAfter = openedAfter;
    if (openedAfter !== undefined) openedAfter.openedBefore = openedBefore;
    else this.#lastOpened = openedBefore;
    run.openedBefore = undefined;
    run.openedAfter = undefined;
    this.#open--;
    this.#wakeWhenIdle();
  }

  /** Keeps the scope from ending before `work`, which may make runs here, has settled. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await work;
    } finally {
      this.#pending--;
      this.#wakeWhenIdle();
    }
  }

  /** Ends what is open early; from this moment on, no run can be made here. */
  cancel(message: string): void {
    this.ended = true;
    this.cancelMessage = message;
    for (const run of this.open()) run.cancel(message);
  }

  /** The runs that are not final, or of which not everybody knows it yet; the oldest first. */
  open(): readonly ScopeMember[] {
    const open: ScopeMember[] = [];
    for (let run = this.#lastOpened; run !== undefined; run = run.openedBefore) open.push(run);
    return open.reverse();
  }

  /** Grows with every run that is made here, and every one that ends. */
  get progress(): number {
    return 2 * this.tally.total + this.#open;
  }

  /** Resolves when no run made here is unfinished; from that moment on, none can be made. */
  async end(): Promise<void> {
    while (this.#open + this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    }
    this.ended = true;
  }

  #wakeWhenIdle(): void {
    if (this.#idle.length === 0 || this.#open + this.#pending > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
