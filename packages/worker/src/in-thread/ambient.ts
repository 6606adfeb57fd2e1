import type { RunnerSession } from "@millrace/core";
import { activeContext, type ScopeOwner } from "@millrace/core/internal";
import type { RunningCall } from "./running-call.ts";

/** The cluster that a worker belongs to, as a runner names one. */
export interface AmbientCluster {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly queue: string;
}

/** Gives the call, of those that run here, that the context is part of. */
export type CallFinder = (context: ScopeOwner) => RunningCall | undefined;

const finders = new Set<CallFinder>();
let cluster: AmbientCluster | undefined;

/** Lets calls be found; gives what ends that. */
export function addCallFinder(find: CallFinder): () => void {
  finders.add(find);
  return () => finders.delete(find);
}

export function enterCluster(entered: AmbientCluster | undefined): void {
  cluster = entered;
}

/** The cluster whose worker this is; undefined when it is not behind a Redis, or this is no worker. */
export function ambientCluster(): AmbientCluster | undefined {
  return cluster;
}

/**
 * A session for a flow that is called inside a call of a worker: its calls are the call's own, and are executed by the
 * cluster that executes that one. Undefined outside of such calls.
 */
export function ambientSession(): RunnerSession | undefined {
  const context = activeContext();
  if (context === undefined) return undefined;
  for (const find of finders) {
    const call = find(context);
    if (call !== undefined) return call.openSession();
  }
  return undefined;
}
