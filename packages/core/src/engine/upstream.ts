import { SelfDependencyError } from "../errors/errors.ts";
import type { UpstreamRun } from "../runners/task-runner.ts";
import type { Dependencies } from "./dependencies.ts";
import type { FinalListener } from "./run-record.ts";
import type { RunScope } from "./run-scope.ts";

/** What a run waits for before it starts: the runs whose values it needs, and those that `waitFor` names. */
export class Upstream {
  /** What the arguments need; undefined: nothing. */
  readonly inputs: Dependencies | undefined;
  private readonly needed: readonly Dependencies[];
  /** A run that is in both counts twice, and tells twice. */
  private unfinished = 0;

  constructor(inputs: Dependencies | undefined, waitFor: Dependencies | undefined) {
    const needed = inputs === undefined ? [] : [inputs];
    if (waitFor !== undefined) needed.push(waitFor);
    this.inputs = inputs;
    this.needed = needed;
  }

  /** Asks each run that is not final to tell of its end, of which `oneIsFinal` is to be told. */
  listen(listener: FinalListener): void {
    for (const { futures } of this.needed) {
      for (const { run } of futures) {
        if (run.isFinal()) continue;
        this.unfinished++;
        run.onFinal(listener);
      }
    }
  }

  oneIsFinal(): void {
    this.unfinished--;
  }

  isFinal(): boolean {
    return this.unfinished === 0;
  }

  /** Do the ends of these runs alone decide: is none of them allowed to fail, and is there no state that is unfit? */
  isStrict(): boolean {
    return this.needed.every(({ tolerated, unfit }) => tolerated.size + unfit.length === 0);
  }

  /** The id of the first run that keeps another from starting, now that all are final. */
  missing(): string | undefined {
    for (const dependencies of this.needed) {
      const missing = missingIn(dependencies);
      if (missing !== undefined) return missing;
    }
    return undefined;
  }

  /** The runs, each once. */
  runs(): readonly UpstreamRun[] {
    const runs = new Set<UpstreamRun>();
    for (const { futures } of this.needed) for (const { run } of futures) runs.add(run);
    return [...runs];
  }

  /** The ids of the runs, each once. */
  ids(): readonly string[] {
    return [...new Set(this.futures().map(({ taskRunId }) => taskRunId))];
  }

  /** Of those that are not final. */
  openIds(): readonly string[] {
    const open = this.futures().filter(({ run }) => !run.isFinal());
    return [...new Set(open.map(({ taskRunId }) => taskRunId))];
  }

  private futures() {
    return this.needed.flatMap(({ futures }) => futures);
  }
}

function missingIn({ futures, tolerated, unfit }: Dependencies): string | undefined {
  const [state] = unfit;
  if (state !== undefined) return state.runId ?? `(a state ${state.name} made by hand)`;
  return futures.find((future) => !future.run.lets(tolerated.has(future)))?.taskRunId;
}

/** @throws SelfDependencyError when a run made in `scope` with these inputs would wait for itself */
export function refuseSelfDependency(scope: RunScope, ...dependencies: (Dependencies | undefined)[]): void {
  for (const { futures } of dependencies.filter((some) => some !== undefined)) {
    const own = futures.find(({ run }) => !run.isFinal() && scope.owner.isWithin(run));
    if (own !== undefined) throw new SelfDependencyError(own.taskRunId);
  }
}
