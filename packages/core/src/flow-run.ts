import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { activeContext } from "./context.ts";
import { findDependencies, replaceFutures, replaceStates } from "./dependencies.ts";
import { describe, ParameterError, UnfinishedRunError } from "./errors.ts";
import { attemptFlow, cancelledState } from "./flow-attempt.ts";
import { FlowContext, type FlowRunFacts } from "./flow-context.ts";
import type { FlowDefinition } from "./flow-definition.ts";
import { flowVersion } from "./flow-version.ts";
import { callHooks, type FlowRunInfo, type Hook } from "./hooks.ts";
import { loadValues } from "./inputs.ts";
import { processLogger } from "./logger.ts";
import { type OpenRun, openRun, visitOpenRuns } from "./open-runs.ts";
import { ProgressWatch } from "./progress-watch.ts";
import { runKey, storedForm } from "./result-cache.ts";
import { runError } from "./run-error.ts";
import { processEvents, type RunEventSink, summaryOf } from "./run-events.ts";
import { checkedName, fillTemplate, randomName } from "./run-name.ts";
import { RunPositions } from "./run-positions.ts";
import type { RunScope } from "./run-scope.ts";
import { type RunServices, servicesFor } from "./run-services.ts";
import { State } from "./state.ts";
import { Subflow } from "./subflow.ts";
import type { RunnerSession } from "./task-runner.ts";
import { inWorkerMode, never } from "./worker-mode.ts";

/** What a flow run takes over from where the flow was called. */
export interface FlowCaller {
  readonly tags: readonly string[];
  readonly logConsole: boolean;
  /** The scope of the run that called the flow; undefined at the top. */
  readonly parent: RunScope | undefined;
  /** Futures that must be completed first. */
  readonly waitFor: unknown;
}

/** One execution of a flow, started by `flow.start()`. */
export class FlowRun<R> {
  /** A random UUID. */
  readonly id: string = randomUUID();
  readonly flowName: string;
  readonly #definition: FlowDefinition;
  readonly #caller: FlowCaller;
  /** What stands for this run among the runs of its parent. */
  readonly #subflow: Subflow | undefined;
  readonly #cancellation = new AbortController();
  #flowRunName = randomName(Math.random);
  #parameters: unknown;
  #attempt = 0;
  #state: State;
  readonly #final: Promise<State>;
  /** Of the attempt that is under way. */
  #scope: RunScope | undefined;

  /** @internal */
  constructor(definition: FlowDefinition, parameters: unknown, caller: FlowCaller) {
    this.flowName = definition.name;
    this.#definition = definition;
    this.#caller = caller;
    this.#parameters = parameters;
    this.#state = new State("PENDING", { runId: this.id });
    if (inWorkerMode() && activeContext() === undefined) {
      this.#final = never();
      return;
    }
    if (caller.parent !== undefined) {
      const inputs = this.#events.isObserved
        ? findDependencies([parameters, caller.waitFor])?.futures
        : undefined;
      this.#subflow = new Subflow(caller.parent, this, inputs?.map(({ taskRunId }) => taskRunId) ?? []);
    }
    this.#emit();
    this.#final = this.#run();
  }

  /** Two random words, unless the flow's option `flowRunName` gives another. Final once the run is RUNNING. */
  get flowRunName(): string {
    return this.#flowRunName;
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
    throw this.error();
  }

  /** What to throw at whoever asks for the value of a run that has none. @internal */
  error(): unknown {
    const { type, name, data, message } = this.#state;
    if (type === "PENDING") return new UnfinishedRunError(this.id, name, message);
    return runError(type, data, message, `Flow run ${this.id} of "${this.flowName}"`);
  }

  /**
   * Ends the run early: its signal fires, and its task runs and subflows are cancelled. Without effect on one that is
   * final. The flow's function itself cannot be stopped; its next task call throws.
   *
   * @returns the final state, when it is reached: CANCELLED unless the run ended otherwise first
   */
  cancel(message = "The flow run was cancelled."): Promise<State> {
    this.#cancellation.abort(message);
    return this.#final;
  }

  /**
   * The task runs that are not final at this moment, in the order in which they were made, each with who holds it or what
   * it waits for: also those that task runs and subflows have made. Each look costs time and memory for every such run, and
   * a few round trips to Redis; nothing is noted for it while the flow runs. Never rejects.
   */
  async openRuns(): Promise<readonly OpenRun[]> {
    const open: OpenRun[] = [];
    const subflows: Subflow[] = [];
    if (this.#scope !== undefined)
      await visitOpenRuns(this.#scope, (run, why) => {
        open.push(openRun(run, why));
        if (run instanceof Subflow) subflows.push(run);
      });
    for (const { run } of subflows) open.push(...(await run.openRuns()));
    return open;
  }

  // ---- The life of a run -----------------------------------------------------------------------------------------

  async #run(): Promise<State> {
    let final: State;
    try {
      final = (await this.#prepare()) ?? (await this.#openAndAttempt());
    } catch (error) {
      final = new State("CRASHED", { data: error, message: messageOf(error) });
    }
    const hooks = this.#hooksFor(final);
    this.#enter(final);
    if (!final.isCompleted()) {
      const level = final.isCancelled() ? "warn" : "error";
      this.#logger()[level]({ err: final.data, state: final.name }, `flow run ended ${final.name}`);
    }
    await this.#callHooks(hooks);
    this.#subflow?.ended();
    return this.#state;
  }

  /** What comes before a run can be RUNNING: its inputs, its parameters, its name. Gives a state when it ends here. */
  async #prepare(): Promise<State | undefined> {
    const { flowRunName } = this.#definition;
    const missing = await this.#resolveInputs();
    if (missing !== undefined) return missing;
    try {
      this.#parameters = await validate(this.#definition, this.#parameters);
      if (typeof flowRunName === "string")
        this.#flowRunName = fillTemplate("flowRunName", flowRunName, this.#parameters ?? {});
      else if (flowRunName !== undefined)
        this.#flowRunName = checkedName("flowRunName", flowRunName(this.#info()));
    } catch (error) {
      return new State("FAILED", { data: error, message: messageOf(error) });
    }
    return this.#cancellation.signal.aborted ? this.#cancelled() : undefined;
  }

  /** Waits for what the flow was told to wait for, and for futures in its parameters, which their values replace. */
  async #resolveInputs(): Promise<State | undefined> {
    const needed = findDependencies([this.#parameters, this.#caller.waitFor]);
    if (needed === undefined) return undefined;
    const { signal } = this.#cancellation;
    const cancelled = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const [state] = needed.unfit;
    if (state !== undefined) return notReady(state.runId ?? `(a state ${state.name} made by hand)`);
    for (const future of needed.futures) {
      await Promise.race([future.run.final(), cancelled]);
      if (signal.aborted) return this.#cancelled();
      if (future.run.lets(needed.tolerated.has(future))) continue;
      return notReady(future.taskRunId);
    }
    await loadValues(findDependencies(this.#parameters)?.futures ?? []);
    const given = needed.hasStates ? replaceStates(this.#parameters) : this.#parameters;
    this.#parameters = replaceFutures(given, (future) => future.run.input());
    return undefined;
  }

  async #openAndAttempt(): Promise<State> {
    const session = await this.#definition.taskRunner.open({ flowRunId: this.id, flowName: this.flowName });
    try {
      const services = servicesFor(this.#definition, this.#caller.parent?.owner.services, session);
      const final = await this.#attempts(session, services);
      if (final.isCompleted() && services.persistResult) await this.#persist(final.data, services);
      return final;
    } finally {
      await session.close();
    }
  }

  async #attempts(session: RunnerSession, services: RunServices): Promise<State> {
    const { retries, retryDelaySeconds } = this.#definition;
    const positions = retries > 0 ? new RunPositions() : undefined;
    const facts: FlowRunFacts = {
      ...{ run: this, flowRunName: this.#flowRunName, parameters: this.#parameters },
      ...{ tags: this.#caller.tags, logConsole: this.#caller.logConsole, parent: this.#caller.parent },
      ...{ services, session, positions },
    };
    const { signal } = this.#cancellation;
    for (;;) {
      this.#attempt++;
      positions?.startAttempt();
      this.#enter(new State("RUNNING", this.#attempt > 1 ? { name: "Retrying" } : {}));
      if (this.#attempt === 1) await this.#callHooks(this.#definition.onRunning);
      const context = new FlowContext(facts, this.#attempt);
      this.#scope = context.scope();
      const watch = new ProgressWatch(this.#scope, () => this.#logger());
      const final = await attemptFlow(this.#definition, context, signal);
      watch.stop();
      this.#scope = undefined;
      if (!final.isFailed() || this.#attempt > retries || signal.aborted) return final;
      this.#logger().warn({ err: final.data, retryDelaySeconds }, "flow run failed, will be tried again");
      if (retryDelaySeconds > 0) {
        this.#enter(new State("SCHEDULED", { name: "AwaitingRetry" }));
        await sleep(retryDelaySeconds * 1000, undefined, { signal }).catch(() => {});
        if (signal.aborted) return this.#cancelled();
      }
    }
  }

  async #persist(value: unknown, { resultStore }: RunServices): Promise<void> {
    try {
      await resultStore.write(runKey(this.id), storedForm(value, undefined));
    } catch (error) {
      this.#logger().error({ err: error }, "the result could not be kept");
    }
  }

  #cancelled(): State {
    return cancelledState(this.#cancellation.signal);
  }

  // ---- What others learn -----------------------------------------------------------------------------------------

  get #events(): RunEventSink {
    return this.#caller.parent?.owner.services.events ?? processEvents;
  }

  #enter(state: State): void {
    const { type, name, message, data } = state;
    const timestamp = Math.max(this.#state.timestamp, state.timestamp);
    this.#state = new State(type, { name, message, data, timestamp, runId: this.id });
    this.#emit();
  }

  #emit(): void {
    if (!this.#events.isObserved) return;
    const state = summaryOf(this.#state);
    this.#events.emit("flow-run-state", {
      ...this.#info(),
      flowVersion: flowVersion(this.#definition),
      parentTaskRunId: this.#subflow?.taskRunId,
      state,
    });
    this.#subflow?.emit(flowVersion(this.#definition), this.#caller.tags, this.#attempt, state);
  }

  /** One that ends CANCELLED because its function said so fires no hook: nobody cancelled it. */
  #hooksFor({ type }: State): readonly Hook<FlowRunInfo>[] {
    const { onCompletion, onFailure, onCrashed, onCancellation } = this.#definition;
    if (type === "COMPLETED") return onCompletion;
    if (type === "FAILED") return onFailure;
    if (type === "CRASHED") return onCrashed;
    return type === "CANCELLED" && this.#cancellation.signal.aborted ? onCancellation : [];
  }

  #callHooks(hooks: readonly Hook<FlowRunInfo>[]): Promise<void> {
    return callHooks(hooks, this.#info(), this.#state, (error) =>
      this.#logger().error({ err: error }, "a hook of the flow failed"),
    );
  }

  #info(): FlowRunInfo {
    return {
      flowRunId: this.id,
      flowName: this.flowName,
      flowRunName: this.#flowRunName,
      attempt: this.#attempt,
      tags: this.#caller.tags,
      parameters: this.#parameters,
    };
  }

  #logger() {
    return processLogger().child({ flowRunId: this.id, flowName: this.flowName });
  }
}

function notReady(runId: string): State {
  const message = `Upstream task run '${runId}' did not reach a 'COMPLETED' state.`;
  return new State("PENDING", { name: "NotReady", message });
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
