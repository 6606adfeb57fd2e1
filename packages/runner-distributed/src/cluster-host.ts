import type { Broker } from "@millrace/broker";

/**
 * Where the workers of a local cluster live: in this process, or in processes of their own behind a Redis. Two
 * implementations, MemoryHost and RedisHost.
 */
export interface ClusterHost {
  /** What the cluster logs that it runs on, such as "threads of this process". */
  readonly description: string;
  /** The broker through which runners of this process reach the workers. */
  readonly broker: Broker;
  /** Starts one more worker, and gives what stops it. @throws WorkerStartError and what the broker throws */
  addWorker(): Promise<HostedWorker>;
  /** Ends what the workers share, after they are stopped. Never rejects. */
  close(): Promise<void>;
}

export interface HostedWorker {
  /** The worker's process, when it has one of its own. */
  readonly pid: number | undefined;
  /** Never rejects. */
  stop(): Promise<void>;
}

export interface HostOptions {
  /** Threads of each worker. */
  readonly threads: number;
  /** See LocalClusterOptions. */
  readonly callsPerThread: number | undefined;
  readonly root: string;
  readonly queue: string;
}

/** How long the calls of a local cluster may go on when it is closed: it is closed when nobody waits for them. */
export const CLOSE_GRACE_SECONDS = 1;
