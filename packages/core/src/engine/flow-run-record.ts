import type { FlowDefinition } from "../definitions/flow-definition.ts";
import { flowVersion } from "../definitions/flow-version.ts";
import { callHooks, type FlowRunInfo, type Hook } from "../definitions/hooks.ts";
import { randomName } from "../definitions/run-name.ts";
import { State } from "../futures/state.ts";
import { type Logger, processLogger } from "../logger.ts";
import { processEvents, type RunEventSink, summaryOf } from "./run-events.ts";
import type { RunScope } from "./run-scope.ts";
import type { Subflow } from "./subflow.ts";

/** What a flow run takes over from where the flow was called. */
export interface FlowCaller {
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** The scope of the run that called the flow; undefined at the top. */
  readonly parent: RunScope | undefined;
  /** Futures that must be completed first. */
  readonly waitFor: unknown;
}

/** What is known of a flow run, and who is told: the observers, its placeholder in the parent, its hooks and the log. */
export class FlowRunRecord {
  readonly #id: string;
  readonly #definition: FlowDefinition;
  readonly #caller: FlowCaller;
  flowRunName = randomName(Math.random);
  parameters: unknown;
  /** Attempts begun so far. */
  attempt = 0;
  /** What stands for the run among the runs of its parent. */
  subflow: Subflow | undefined;
  #state: State;

  constructor(id: string, definition: FlowDefinition, parameters: unknown, caller: FlowCaller) {
    this.#id = id;
    this.#definition = definition;
    this.#caller = caller;
    this.parameters = parameters;
    this.#state = new State("PENDING", { runId: id });
  }

  get state(): State {
    return this.#state;
  }

  /** Times never go back, whatever the clock does. */
  enter(state: State): void {
    const { type, name, message, data } = state;
    const timestamp = Math.max(this.#state.timestamp, state.timestamp);
    this.#state = new State(type, { name, message, data, timestamp, runId: this.#id });
    this.emit();
  }

  /** Tells observers of the state. */
  emit(): void {
    if (!this.isObserved) return;
    const state = summaryOf(this.#state);
    const version = flowVersion(this.#definition);
    const parentTaskRunId = this.subflow?.taskRunId;
    this.#events.emit("flow-run-state", { ...this.info(), flowVersion: version, parentTaskRunId, state });
    this.subflow?.emit(version, this.#caller.tags, this.attempt, state);
  }

  get isObserved(): boolean {
    return this.#events.isObserved;
  }

  get #events(): RunEventSink {
    return this.#caller.parent?.owner.services.events ?? processEvents;
  }

  callHooks(hooks: readonly Hook<FlowRunInfo>[]): Promise<void> {
    return callHooks(hooks, this.info(), this.#state, (error) =>
      this.logger().error({ err: error }, "a hook of the flow failed"),
    );
  }

  info(): FlowRunInfo {
    return {
      flowRunId: this.#id,
      flowName: this.#definition.name,
      flowRunName: this.flowRunName,
      attempt: this.attempt,
      tags: this.#caller.tags,
      parameters: this.parameters,
    };
  }

  logger(): Logger {
    return processLogger().child({ flowRunId: this.#id, flowName: this.#definition.name });
  }
}
