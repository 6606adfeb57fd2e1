import type { FlowDefinition } from "../definitions/flow-definition.ts";
import { CombinedLimiter } from "../limits/combined-limiter.ts";
import type { Limit, Limiter, Slots } from "../limits/limiter.ts";
import { ProcessLimiter } from "../limits/process-limiter.ts";
import { FileResultStore } from "../results/file-result-store.ts";
import type { ResultStore } from "../results/result-store.ts";
import { processEvents, type RunEventSink } from "./run-events.ts";

/** What the runs of a flow run share besides their task runner. Handed down to every run made inside them. */
export interface RunServices {
  readonly limiter: Limiter;
  /** Where results are kept, unless a task names a store of its own. */
  readonly resultStore: ResultStore;
  /** Where what happens to the runs is told. */
  readonly events: RunEventSink;
  /** Are results kept of tasks that do not say themselves? */
  readonly persistResult: boolean;
  /** The limits that flows on the way here have set; held in this process. */
  readonly concurrencyLimits: Readonly<Record<string, number | Limit>>;
  /** The limits of the cluster, where there is one. */
  readonly clusterLimiter: Limiter | undefined;
}

/** What a task runner's session offers of these. */
export interface SessionServices {
  /** Limits that hold across the cluster. */
  readonly limiter?: Limiter;
  /** A store that the whole cluster shares. */
  readonly resultStore?: ResultStore;
}

/** The services of a flow run: its own options first, then those of the run that it was called in, then its session's. */
export function servicesFor(
  definition: FlowDefinition,
  parent: RunServices | undefined,
  session: SessionServices,
): RunServices {
  const concurrencyLimits = { ...parent?.concurrencyLimits, ...definition.concurrencyLimits };
  const clusterLimiter = session.limiter ?? parent?.clusterLimiter;
  return {
    limiter: limiterOf(concurrencyLimits, clusterLimiter),
    resultStore: definition.resultStore ?? parent?.resultStore ?? session.resultStore ?? localFiles(),
    events: parent?.events ?? processEvents,
    persistResult: definition.persistResult ?? parent?.persistResult ?? false,
    concurrencyLimits,
    clusterLimiter,
  };
}

/** The services of a task that is called outside every flow. */
export function defaultServices(): RunServices {
  return {
    limiter: UNLIMITED,
    resultStore: localFiles(),
    events: processEvents,
    persistResult: false,
    concurrencyLimits: {},
    clusterLimiter: undefined,
  };
}

function limiterOf(limits: RunServices["concurrencyLimits"], cluster: Limiter | undefined): Limiter {
  const local = Object.keys(limits).length > 0 ? new ProcessLimiter(limits) : undefined;
  if (local === undefined || cluster === undefined) return local ?? cluster ?? UNLIMITED;
  return new CombinedLimiter(local, cluster);
}

let files: FileResultStore | undefined;

function localFiles(): FileResultStore {
  files ??= new FileResultStore();
  return files;
}

const NO_SLOTS: Slots = { release() {} };

/** Where nothing is limited. */
const UNLIMITED: Limiter = { isLimited: () => false, acquire: async () => NO_SLOTS };
