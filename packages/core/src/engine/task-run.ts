import { AttemptedRun } from "./attempted-run.ts";
import type { Dependencies } from "./dependencies.ts";
import { loadInputs, loadValues, needWhole } from "./inputs.ts";
import type { FinalListener } from "./run-record.ts";
import { nameOf } from "./task-run-info.ts";
import { Upstream } from "./upstream.ts";
import type { CallSurvey, WhyOpen } from "./why-open.ts";

/**
 * One task run. From its start until its attempts, which AttemptedRun makes: it waits for what is upstream, loads the
 * values that it needs here, gets its name, and looks into the cache.
 */
export class TaskRun extends AttemptedRun implements FinalListener {
  /** Starts the run: at once, or when everything upstream is final. */
  start(inputs: Dependencies | undefined, waitFor: Dependencies | undefined): void {
    this.hasInputs = inputs !== undefined;
    if (inputs !== undefined || waitFor !== undefined) {
      needWhole(this.args);
      this.upstream = new Upstream(inputs, waitFor);
      if (this.scope.owner.services.events.isObserved) this.extra().inputs = this.upstream.ids();
      this.upstream.listen(this);
    }
    this.emit();
    if (this.upstream === undefined || this.upstream.isFinal()) this.upstreamIsFinal();
    else if (this.isForeseeable(this.upstream)) this.scope.session.foresee?.(this, this.upstream.runs());
  }

  /** Will nothing but the ends of the runs upstream decide whether the run is executed? */
  private isForeseeable(upstream: Upstream): boolean {
    const { task } = this;
    if (this.scope.session.foresee === undefined) return false;
    if (task.cacheKeyFn !== undefined || task.taskRunName !== undefined) return false;
    return this.neededLimits().length === 0 && upstream.isStrict();
  }

  /** One of the runs upstream is final. */
  runIsFinal(): void {
    const { upstream } = this;
    if (upstream === undefined) return;
    upstream.oneIsFinal();
    if (upstream.isFinal() && !this.isFinal() && !this.isCancelled) this.upstreamIsFinal();
  }

  private upstreamIsFinal(): void {
    const { upstream } = this;
    this.upstream = undefined;
    const missing = upstream?.missing();
    const { cancelMessage } = this.scope;
    // Else runs would end NotReady behind those of their scope that were cancelled a moment before them.
    if (cancelMessage !== undefined) this.cancel(cancelMessage);
    else if (missing !== undefined) {
      this.extra().notReadyMessage = `Upstream task run '${missing}' did not reach a 'COMPLETED' state.`;
      // What it needs may have returned all the same, and was cancelled then: its worker may be about to run it.
      if (this.ticket === undefined || !this.scope.session.cancel(this)) this.finishUnstarted();
    } else this.loadOrPrepare(upstream?.inputs);
  }

  /** Loads what values of the inputs the runner cannot pass on, if any. */
  private loadOrPrepare(inputs: Dependencies | undefined): void {
    const loading = inputs === undefined ? undefined : loadValues(inputs.futures, this.scope.session);
    if (loading === undefined) this.prepareOrBegin();
    else {
      this.extra().step = "loads-inputs";
      loading.then(
        () => this.isFinal() || this.prepareOrBegin(),
        (error) => this.isFinal() || this.threw(error, false),
      );
    }
  }

  private prepareOrBegin(): void {
    if (this.task.taskRunName !== undefined || this.task.cacheKeyFn !== undefined) void this.prepare();
    else this.beginAttempt();
  }

  /** What needs the inputs' values: the run's name, and a look into the cache. */
  private async prepare(): Promise<void> {
    try {
      this.extra().step = "loads-inputs";
      const loading = loadInputs(this);
      if (loading !== undefined) await loading;
      if (this.isFinal()) return;
      const { taskRunName } = this.task;
      if (taskRunName !== undefined) this.extra().name = nameOf(taskRunName, this.info());
    } catch (error) {
      return this.threw(error, false);
    }
    if (this.task.cacheKeyFn !== undefined) {
      const extra = this.extra();
      extra.step = "reads-cache";
      const onWait = () => {
        extra.step = "awaits-cached-result";
      };
      const hit = await this.keptResult().find(this.info(), this.interruption().signal, onWait);
      if (this.isFinal()) return this.extras?.kept?.abandon();
      if (hit !== undefined) return this.finish("COMPLETED", hit.value, "", "Cached");
    }
    this.beginAttempt();
  }

  override whyOpen(survey: CallSurvey): WhyOpen {
    const { upstream } = this;
    if (upstream === undefined || upstream.isFinal()) return super.whyOpen(survey);
    const taskRunIds = upstream.openIds();
    if (taskRunIds.length === 0) return { type: "unknown" }; // It was not told of their ends.
    return { type: "awaits-runs", taskRunIds };
  }
}
