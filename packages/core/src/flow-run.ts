import { randomUUID } from "node:crypto";
import { captureConsole } from "./console-capture.ts";
import { type ActiveContext, activeContext, runInContext } from "./context.ts";
import { describe, ParameterError } from "./errors.ts";
import { aggregate, resolveReturned } from "./final-state.ts";
import type { FlowDefinition } from "./flow.ts";
import { callHooks, type FlowRunInfo, type Hook } from "./hooks.ts";
import { processLogger } from "./logger.ts";
import { runError } from "./run-error.ts";
import { RunScope } from "./run-scope.ts";
import { State, type StateType } from "./state.ts";
import type { RunnerSession } from "./task-runner.ts";
import { inWorkerMode, never } from "./worker-mode.ts";

/** One execution of a flow, started by `flow.start()`. */
export class FlowRun<R> {
  /** A random UUID. */
  readonly id: string = randomUUID();
  readonly name: string;
  #state: State;
  readonly #final: Promise<State>;

  constructor(
    definition: FlowDefinition,
    parameters: unknown,
    inherited: { readonly tags: readonly string[]; readonly logConsole: boolean },
  ) {
    this.name = definition.name;
    this.#state = new State("PENDING", { runId: this.id });
    this.#final =
      inWorkerMode() && activeContext() === undefined
        ? never()
        : this.#run(definition, parameters, inherited);
  }

  /** The state of the run at this moment. */
  get state(): State {
    return this.#state;
  }

  /** Waits until the run is final, which is when every task run in it is. Never rejects. */
  wait(): Promise<State> {
    return this.#final;
  }

  /** What the flow returned, its futures replaced by their values. Rejects with what the run failed with. */
  async result(): Promise<R> {
    const state = await this.#final;
    if (state.isCompleted()) return state.data as R;
    throw runError(state.type, state.data, state.message, `Flow run ${this.id} of "${this.name}"`);
  }

  async #run(
    definition: FlowDefinition,
    given: unknown,
    inherited: { readonly tags: readonly string[]; readonly logConsole: boolean },
  ): Promise<State> {
    const log = processLogger().child({ flowRunId: this.id, flowName: this.name });
    let final: State;
    let parameters = given;
    let atFault: StateType = "FAILED"; // Bad parameters are the user's fault; a runner that cannot open is not.
    try {
      parameters = await validate(definition, given);
      atFault = "CRASHED";
      const session = await definition.taskRunner.open();
      try {
        final = await this.#execute(definition, parameters, inherited, session);
      } finally {
        await session.close();
      }
    } catch (error) {
      final = new State(atFault, { data: error, message: messageOf(error) });
    }
    if (!final.isCompleted())
      log.error({ err: final.data, state: final.name }, `flow run ended ${final.name}`);
    this.#enter(final);
    await this.#callHooks(hooksFor(definition, final), parameters, inherited.tags);
    return this.#state;
  }

  #callHooks(
    hooks: readonly Hook<FlowRunInfo>[],
    parameters: unknown,
    tags: readonly string[],
  ): Promise<void> {
    const { id: flowRunId, name: flowName } = this;
    const log = processLogger().child({ flowRunId, flowName });
    return callHooks(hooks, { flowRunId, flowName, tags, parameters }, this.#state, (error) =>
      log.error({ err: error }, "a hook of the flow failed"),
    );
  }

  async #execute(
    definition: FlowDefinition,
    parameters: unknown,
    inherited: { readonly tags: readonly string[]; readonly logConsole: boolean },
    session: RunnerSession,
  ): Promise<State> {
    const info = { flowRunId: this.id, flowName: this.name, logConsole: inherited.logConsole };
    const scope = new RunScope(this.id, info, session);
    const context: ActiveContext = {
      ...info,
      taskRunId: undefined,
      taskName: undefined,
      attempt: 1,
      tags: inherited.tags,
      scope: () => scope,
    };
    if (context.logConsole) captureConsole();
    this.#enter(new State("RUNNING"));
    await this.#callHooks(definition.onRunning, parameters, inherited.tags);
    let final: State;
    try {
      const returned = await runInContext(context, () =>
        (definition.fn as (p: unknown) => unknown)(parameters),
      );
      const resolved = returned === undefined ? undefined : await resolveReturned(returned);
      await scope.end();
      final = finalState(resolved, scope);
    } catch (error) {
      final = new State("FAILED", {
        data: error,
        message: `Flow run encountered an exception: ${messageOf(error)}`,
      });
    }
    await scope.end();
    return final;
  }

  #enter(state: State): State {
    const { type, name, message, data } = state;
    const timestamp = Math.max(this.#state.timestamp, state.timestamp);
    this.#state = new State(type, { name, message, data, timestamp, runId: this.id });
    return this.#state;
  }
}

/** A flow that returns nothing takes its state from all its task runs. */
function finalState(resolved: unknown, scope: RunScope): State {
  if (resolved instanceof State) return resolved;
  if (resolved === undefined && scope.tally.total > 0) return aggregate(scope.tally);
  return new State("COMPLETED", { data: resolved });
}

function hooksFor(definition: FlowDefinition, { type }: State): readonly Hook<FlowRunInfo>[] {
  if (type === "COMPLETED") return definition.onCompletion;
  if (type === "FAILED") return definition.onFailure;
  return type === "CRASHED" ? definition.onCrashed : [];
}

async function validate(definition: FlowDefinition, given: unknown): Promise<unknown> {
  const { name, parameters: schema, validateParameters } = definition;
  if (schema === undefined || !validateParameters) return given;
  const result = await schema["~standard"].validate(given ?? {});
  if (result.issues === undefined) return result.value;
  throw new ParameterError(
    name,
    result.issues.map(({ message, path }) => {
      const keys = path?.map((part) => String(typeof part === "object" ? part.key : part)) ?? [];
      return keys.length > 0 ? `\`${keys.join(".")}\`: ${message}` : message;
    }),
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : describe(error);
}
