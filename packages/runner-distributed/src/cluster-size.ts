/** How a local cluster is cut. */
export interface ClusterSize {
  readonly workers: number;
  /** Threads of each worker. */
  readonly threads: number;
}

/** Cores that one worker process serves: more threads in one process share its main thread, which carries their messages. */
const CORES_PER_WORKER = 4;

/**
 * The size of a local cluster: as told, and where nothing is told so that all cores are used: one worker per four
 * cores, which share the cores as threads.
 */
export function clusterSize(cores: number, told: Partial<ClusterSize> = {}): ClusterSize {
  const workers = told.workers ?? Math.ceil(cores / CORES_PER_WORKER);
  const threads = told.threads ?? Math.max(1, Math.ceil(cores / Math.max(workers, 1)));
  return { workers, threads };
}
