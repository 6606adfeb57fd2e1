import { activeContext } from "../engine/context.ts";
import type { RunRecord } from "../engine/run-record.ts";
import { SelfDependencyError } from "../errors/errors.ts";

/**
 * Resolves when all runs are final, and their values are in this process. With `needsValues` it rejects with what the first run
 * failed with, or what kept its value from coming, and else never. One promise for all of them: one for each took as much
 * memory as a million runs themselves.
 */
export function gather(runs: readonly RunRecord[], needsValues: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const context = activeContext();
    let unfinished = runs.length;
    const isReady = (run: RunRecord) => {
      try {
        if (needsValues) run.valueOrThrow();
        if (--unfinished === 0) resolve();
      } catch (error) {
        reject(error);
      }
    };
    const runIsFinal = (run: RunRecord) => {
      if (run.distant === undefined) isReady(run);
      else run.distant.load().then(() => isReady(run), needsValues ? reject : () => isReady(run));
    };
    const listener = { runIsFinal };
    if (unfinished === 0) resolve();
    for (const run of runs) {
      if (run.isFinal()) runIsFinal(run);
      else if (context?.isWithin(run)) return reject(new SelfDependencyError(run.taskRunId));
      else run.onFinal(listener);
    }
  });
}
