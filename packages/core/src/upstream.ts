import type { Dependencies } from "./dependencies.ts";
import { SelfDependencyError } from "./errors.ts";
import type { RunScope } from "./run-scope.ts";

/** The id of the first run that keeps another from starting, now that what it waits for is final. */
export function missingIn({ futures, tolerated, unfit }: Dependencies): string | undefined {
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
