import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { FlowDefinition } from "../definitions/flow-definition.ts";
import type { FlowRunInfo, Hook } from "../definitions/hooks.ts";
import { checkedName, fillTemplate } from "../definitions/run-name.ts";
import { inWorkerMode, never } from "../definitions/worker-mode.ts";
import { UnfinishedRunError } from "../errors/errors.ts";
import { describeThrown } from "../errors/shown-value.ts";
import { State } from "../futures/state.ts";
import { runKey, storedForm } from "../results/result-cache.ts";
import type { RunnerSession } from "../runners/task-runner.ts";
import { activeContext } from "./context.ts";
import { findDependencies } from "./dependencies.ts";
import { attemptFlow, cancelledState } from "./flow-attempt.ts";
import { FlowContext, type FlowRunFacts } from "./flow-context.ts";
import { resolveFlowInputs, validParameters } from "./flow-inputs.ts";
import { type FlowCaller, FlowRunRecord } from "./flow-run-record.ts";
import { type OpenRun, openRun, visitOpenRuns } from "./open-runs.ts";
import { ProgressWatch } from "./progress-watch.ts";
import { runError } from "./run-error.ts";
import { RunPositions } from "./run-positions.ts";
import type { RunScope } from "./run-scope.ts";
import { type RunServices, servicesFor } from "./run-services.ts";
import { Subflow } from "./subflow.ts";

/** One execution of a flow, started by `flow.start()`. */
export class FlowRun<R> {
  /** A random UUID. */
  readonly id: string = randomUUID();
  readonly flowName: string;
  readonly #definition: FlowDefinition;
  readonly #caller: FlowCaller;
  readonly #record: FlowRunRecord;
  readonly #cancellation = new AbortController();
  readonly #final: Promise<State>;
  /** Of the attempt that is under way. */
  #scope: RunScope | undefined;

  /** @internal */
  constructor(definition: FlowDefinition, parameters: unknown, caller: FlowCaller) {
    this.flowName = definition.name;
    this.#definition = definition;
    this.#caller = caller;
    this.#record = new FlowRunRecord(this.id, definition, parameters, caller);
    if (inWorkerMode() && activeContext() === undefined) {
      this.#final = never();
      return;
    }
    if (caller.parent !== undefined) {
      const needed = this.#record.isObserved ? findDependencies([parameters, caller.waitFor]) : undefined;
      const inputs = needed?.futures.map(({ taskRunId }) => taskRunId) ?? [];
      this.#record.subflow = new Subflow(caller.parent, this, inputs);
    }
    this.#record.emit();
    this.#final = this.#run();
  }

  /** Two random words, unless the flow's option `flowRunName` gives another. Final once the run is RUNNING. */
  get flowRunName(): string {
    return this.#record.flowRunName;
  }

  /** The state of the run at this moment. */
  get state(): State {
    return this.#record.state;
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
    const { type, name, data, message } = this.#record.state;
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
      final = new State("CRASHED", { data: error, message: describeThrown(error) });
    }
    const hooks = this.#hooksFor(final);
    this.#record.enter(final);
    if (!final.isCompleted()) {
      const level = final.isCancelled() ? "warn" : "error";
      this.#record.logger()[level]({ err: final.data, state: final.name }, `flow run ended ${final.name}`);
    }
    await this.#record.callHooks(hooks);
    this.#record.subflow?.ended();
    return this.#record.state;
  }

  /** What comes before a run can be RUNNING: its inputs, its parameters, its name. Gives a state when it ends here. */
  async #prepare(): Promise<State | undefined> {
    const [record, { flowRunName }] = [this.#record, this.#definition];
    const given = { parameters: record.parameters, waitFor: this.#caller.waitFor };
    const resolved = await resolveFlowInputs(given, this.#cancellation.signal);
    if (resolved === undefined) return this.#cancelled();
    if ("notReady" in resolved) return resolved.notReady;
    record.parameters = resolved.parameters;
    try {
      record.parameters = await validParameters(this.#definition, record.parameters);
      if (typeof flowRunName === "string")
        record.flowRunName = fillTemplate("flowRunName", flowRunName, record.parameters ?? {});
      else if (flowRunName !== undefined)
        record.flowRunName = checkedName("flowRunName", flowRunName(record.info()));
    } catch (error) {
      return new State("FAILED", { data: error, message: describeThrown(error) });
    }
    return this.#cancellation.signal.aborted ? this.#cancelled() : undefined;
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
    const { tags, logConsole, parent } = this.#caller;
    const record = this.#record;
    const { flowRunName, parameters } = record;
    const positions = retries > 0 ? new RunPositions() : undefined;
    const facts: FlowRunFacts = {
      ...{ run: this, flowRunName, parameters, tags, logConsole, parent },
      ...{ services, session, positions },
    };
    const { signal } = this.#cancellation;
    for (;;) {
      record.attempt++;
      positions?.startAttempt();
      record.enter(new State("RUNNING", record.attempt > 1 ? { name: "Retrying" } : {}));
      if (record.attempt === 1) await record.callHooks(this.#definition.onRunning);
      const context = new FlowContext(facts, record.attempt);
      this.#scope = context.scope();
      const watch = new ProgressWatch(this.#scope, () => record.logger());
      const final = await attemptFlow(this.#definition, context, signal);
      watch.stop();
      this.#scope = undefined;
      if (!final.isFailed() || record.attempt > retries || signal.aborted) return final;
      record.logger().warn({ err: final.data, retryDelaySeconds }, "flow run failed, will be tried again");
      if (retryDelaySeconds > 0) {
        record.enter(new State("SCHEDULED", { name: "AwaitingRetry" }));
        await sleep(retryDelaySeconds * 1000, undefined, { signal }).catch(() => {});
        if (signal.aborted) return this.#cancelled();
      }
    }
  }

  async #persist(value: unknown, { resultStore }: RunServices): Promise<void> {
    try {
      await resultStore.write(runKey(this.id), storedForm(value, undefined));
    } catch (error) {
      this.#record.logger().error({ err: error }, "the result could not be kept");
    }
  }

  #cancelled(): State {
    return cancelledState(this.#cancellation.signal);
  }

  /** One that ends CANCELLED because its function said so fires no hook: nobody cancelled it. */
  #hooksFor({ type }: State): readonly Hook<FlowRunInfo>[] {
    const { onCompletion, onFailure, onCrashed, onCancellation } = this.#definition;
    if (type === "COMPLETED") return onCompletion;
    if (type === "FAILED") return onFailure;
    if (type === "CRASHED") return onCrashed;
    return type === "CANCELLED" && this.#cancellation.signal.aborted ? onCancellation : [];
  }
}
