import type { TaskRunInfo } from "../definitions/hooks.ts";
import { checkedName, fillTemplate } from "../definitions/run-name.ts";
import type { TaskDefinition } from "../definitions/task-definition.ts";
import type { Call } from "../runners/task-runner.ts";
import { replaceFutures } from "./dependencies.ts";

/** What a task's hooks and other functions learn of a run, at this moment. Parameters are resolved when they are asked for. */
export function taskRunInfo(run: Call): TaskRunInfo {
  const { args, hasInputs } = run; // The run forgets its arguments when it is final.
  const { taskRunId, taskRunName, flowRunId, flowName, flowRunName, attempt, tags, task } = run;
  return {
    ...{ taskRunId, taskRunName, flowRunId, flowName, flowRunName, attempt, tags },
    taskName: task.name,
    taskVersion: task.version,
    get taskSource() {
      return task.fn.toString();
    },
    get parameters() {
      if (!hasInputs) return args;
      return replaceFutures(args, (future) => future.run.input()) as unknown[];
    },
  };
}

/** The name that the option makes for a run. @throws InvalidOptionError, and what the function throws */
export function nameOf(taskRunName: NonNullable<TaskDefinition["taskRunName"]>, info: TaskRunInfo): string {
  if (typeof taskRunName === "string") return fillTemplate("taskRunName", taskRunName, info.parameters);
  return checkedName("taskRunName", taskRunName(info));
}
