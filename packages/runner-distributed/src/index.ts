/** The DistributedTaskRunner, and the LocalCluster that gives it workers on this machine. */
export {
  DistributedTaskRunner,
  type DistributedTaskRunnerOptions,
  projectName,
} from "./distributed-task-runner.ts";
export { LocalCluster, type LocalClusterOptions } from "./local-cluster.ts";
