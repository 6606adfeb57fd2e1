import type { State } from "../futures/state.ts";
import type { FlowRun } from "./flow-run.ts";
import type { StateSummary } from "./run-events.ts";
import type { PositionedRun } from "./run-positions.ts";
import type { RunScope, ScopeMember } from "./run-scope.ts";
import type { FinalKind } from "./tally.ts";
import type { WhyOpen } from "./why-open.ts";

/**
 * The task run that stands for a flow run among the runs of its parent: it has a number of theirs, mirrors the states
 * of the flow run, counts in the parent's final state, and is cancelled with the parent.
 */
export class Subflow implements ScopeMember, PositionedRun {
  readonly run: FlowRun<unknown>;
  readonly number: number;
  readonly #parent: RunScope;
  readonly #inputs: readonly string[];
  openedBefore: ScopeMember | undefined;
  openedAfter: ScopeMember | undefined;

  /** @param inputs the task runs that the flow run needs, for observers */
  constructor(parent: RunScope, run: FlowRun<unknown>, inputs: readonly string[]) {
    this.#inputs = inputs;
    this.run = run;
    this.#parent = parent;
    const key = subflowKey(run.flowName);
    this.number = parent.positions?.earlier(key)?.number ?? parent.nextNumber();
    parent.positions?.place(key, this);
    parent.opened(this);
  }

  get taskRunId(): string {
    return `${this.#parent.id}-${this.number}`;
  }

  get taskRunName(): string {
    return `${this.run.flowName}-${this.number}`;
  }

  cancel(message: string): void {
    void this.run.cancel(message);
  }

  state(): State {
    return this.run.state;
  }

  isFinal(): boolean {
    return this.run.state.isFinal();
  }

  whyOpen(): WhyOpen {
    return { type: "subflow", flowRunId: this.run.id, flowRunState: this.run.state.name };
  }

  finalKind(): FinalKind | undefined {
    const { state } = this.run;
    if (!state.isFinal()) return undefined;
    if (state.isCompleted()) return "completed";
    if (state.isCancelled()) return "cancelled";
    return state.isPending() ? "notReady" : "failed";
  }

  /** The flow run is final. */
  ended(): void {
    this.#parent.tally.add(this.finalKind() ?? "failed", this.number, () => this.run.error());
    this.#parent.closed(this);
  }

  emit(version: string | undefined, tags: readonly string[], attempt: number, state: StateSummary): void {
    const { flowName: taskName, flowRunName: taskRunName, id: childFlowRunId } = this.run;
    const { flowRunId, taskRunId: parentTaskRunId } = this.#parent.owner;
    this.#parent.owner.services.events.emit("task-run-state", {
      ...{ taskRunId: this.taskRunId, taskName, taskRunName, taskVersion: version, flowRunId, attempt, tags },
      ...{ parentTaskRunId, childFlowRunId, inputs: this.#inputs, state },
    });
  }
}

/** In a retry of the parent: the run of the flow at this place, when it completed in an earlier attempt. */
export function completedBefore(
  { positions, tally }: RunScope,
  flowName: string,
): FlowRun<unknown> | undefined {
  const earlier = positions?.earlier(subflowKey(flowName));
  if (!(earlier instanceof Subflow) || earlier.finalKind() !== "completed") return undefined;
  positions?.place(subflowKey(flowName), earlier);
  tally.add("completed", earlier.number, () => undefined);
  return earlier.run;
}

/** The key of a flow's positions; no task's key begins like it. */
function subflowKey(flowName: string): string {
  return `flow\n${flowName}`;
}
