import { SeveralCopiesError } from "../errors/module-errors.ts";

/**
 * A worker imports the user's modules to find their tasks. What those modules do at top level besides defining tasks
 * must not happen again in every thread: a flow called there would start a cluster in each worker, and that cluster's
 * workers another. So in worker mode a flow call, a submit and a cluster start that belong to no run never act.
 */
let isOn = false;

/** Under this symbol a worker leaves where its copy of Millrace is, for other copies to see. */
const WORKERS_COPY = Symbol.for("millrace.workers-copy");
const THIS_COPY = new URL("../index.js", import.meta.url).href;
const shared = globalThis as { [WORKERS_COPY]?: string };

export function enterWorkerMode(): void {
  isOn = true;
  shared[WORKERS_COPY] = THIS_COPY;
}

/**
 * Tasks and flows that another copy than the worker's defines, as when that is installed globally, would be found by nobody, and
 * its flows would act.
 *
 * @throws SeveralCopiesError
 */
export function checkCopy(): void {
  const workers = shared[WORKERS_COPY];
  if (workers !== undefined && workers !== THIS_COPY) throw new SeveralCopiesError(workers, THIS_COPY);
}

export function inWorkerMode(): boolean {
  return isOn;
}

let onIgnored: () => void;
const ignored = new Promise<void>((resolve) => {
  onIgnored = resolve;
});

/** What a call that must not act gives: a promise that never settles, so that nothing behind an `await` runs either. */
export function never<T>(): Promise<T> {
  onIgnored();
  return new Promise<T>(() => {});
}

/** Resolves once a call has been ignored: from then on the import of a user's module may never end. */
export function callIgnored(): Promise<void> {
  return ignored;
}
