import type { TaskFuture } from "../futures/future.ts";
import type { Call, RunnerSession } from "../runners/task-runner.ts";
import { WholeInput } from "../values/whole-input.ts";
import { findDependencies } from "./dependencies.ts";

/**
 * Loads what of these runs' values is not in this process. Undefined: there is nothing to load.
 *
 * @param session passes on what it can
 */
export function loadValues(
  futures: readonly TaskFuture<unknown>[],
  session?: RunnerSession,
): Promise<unknown> | undefined {
  let loads: Promise<void>[] | undefined;
  for (const { run } of futures) {
    const { distant } = run;
    if (distant === undefined || session?.forwards?.(distant)) continue;
    loads ??= [];
    loads.push(distant.load());
  }
  return loads === undefined ? undefined : Promise.all(loads);
}

/** The same for all that a call needs: for functions in this process that look at its arguments. */
export function loadInputs({ hasInputs, args }: Pick<Call, "hasInputs" | "args">) {
  return hasInputs ? loadValues(findDependencies(args)?.futures ?? []) : undefined;
}

export function needWhole(args: readonly unknown[]): void {
  for (const arg of args) if (arg instanceof WholeInput) arg.needed();
}

export function releaseWhole(args: readonly unknown[]): void {
  for (const arg of args) if (arg instanceof WholeInput) arg.unneeded();
}
