import type { AttemptInfo, TaskDefinition } from "@millrace/core/internal";
import type { RunningCall } from "./running-call.ts";

/** What the engine is told of the attempt that a call is. `timeoutSeconds` 0: it has no limit. */
export function attemptInfoOf(
  running: RunningCall,
  task: TaskDefinition,
  timeoutSeconds: number,
): AttemptInfo {
  const { call, context } = running;
  const { flowRunId, flowName, flowRunName, tags, logConsole, heldLimits } = context;
  return {
    flowRunId,
    flowName,
    flowRunName,
    taskRunId: running.taskRunId,
    taskRunName: call.name || `${task.name}-${call.number}`,
    attempt: call.attempt,
    tags,
    logConsole: logConsole || task.logConsole,
    timeoutSeconds: timeoutSeconds || undefined,
    heldLimits,
  };
}
