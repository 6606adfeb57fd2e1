import type { RunnerSession } from "../runners/task-runner.ts";
import { Abortable } from "./abortable.ts";
import type { ActiveContext } from "./context.ts";
import type { FlowRun } from "./flow-run.ts";
import type { RunPositions } from "./run-positions.ts";
import { RunScope } from "./run-scope.ts";
import type { RunServices } from "./run-services.ts";

/** What the attempts of a flow run have in common. */
export interface FlowRunFacts {
  readonly run: FlowRun<unknown>;
  readonly flowRunName: string;
  readonly parameters: unknown;
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** The scope in which the flow was called, for a subflow. */
  readonly parent: RunScope | undefined;
  readonly services: RunServices;
  readonly session: RunnerSession;
  readonly positions: RunPositions | undefined;
}

/** One array for all: calls that have the same one share a context on the wire. */
const NO_LIMITS: readonly string[] = [];

/** The run context of one attempt of a flow. */
export class FlowContext implements ActiveContext {
  readonly taskRunId = undefined;
  readonly taskName = undefined;
  readonly taskRunName = undefined;
  readonly attempt: number;
  readonly #state: FlowRunFacts;
  readonly #abortable = new Abortable();
  readonly #scope: RunScope;

  constructor(state: FlowRunFacts, attempt: number) {
    this.#state = state;
    this.attempt = attempt;
    this.#scope = new RunScope(state.run.id, this, state.session, state.positions);
  }

  get flowRunId(): string {
    return this.#state.run.id;
  }

  get flowName(): string {
    return this.#state.run.flowName;
  }

  get flowRunName(): string {
    return this.#state.flowRunName;
  }

  get tags(): readonly string[] {
    return this.#state.tags;
  }

  get logConsole(): boolean {
    return this.#state.logConsole;
  }

  get parameters(): unknown {
    return this.#state.parameters;
  }

  get services(): RunServices {
    return this.#state.services;
  }

  get heldLimits(): readonly string[] {
    return this.#state.parent?.owner.heldLimits ?? NO_LIMITS;
  }

  get signal(): AbortSignal {
    return this.#abortable.signal;
  }

  isWithin(run: object): boolean {
    return this.#state.run === run || (this.#state.parent?.owner.isWithin(run) ?? false);
  }

  scope(): RunScope {
    return this.#scope;
  }

  /** Asks the flow's function, and every run made in it, to end. */
  abort(reason: Error): void {
    this.#abortable.abort(reason);
    this.#scope.cancel(reason.message);
  }
}
