import type { WorkerProcessOptions } from "./worker-process.ts";

/** What a nanny tells the process that it started. */
export type ToWorkerProcess =
  | { readonly type: "start"; readonly options: WorkerProcessOptions }
  | { readonly type: "stop" };

/** What that process tells its nanny. An error is encoded, so that it arrives as what it was. */
export type FromWorkerProcess =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: string };
