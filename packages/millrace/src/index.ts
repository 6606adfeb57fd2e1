/**
 * Millrace: flows and tasks that run on one event loop, on every core, or on a cluster of workers behind Redis.
 * The one package to install; see README.md.
 */
export * from "@millrace/core";
export {
  DistributedTaskRunner,
  type DistributedTaskRunnerOptions,
  LocalCluster,
  type LocalClusterOptions,
} from "@millrace/runner-distributed";
