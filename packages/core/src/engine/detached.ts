import { randomUUID } from "node:crypto";
import { ConcurrentSession } from "../runners/concurrent-task-runner.ts";
import { RunScope } from "./run-scope.ts";
import { defaultServices } from "./run-services.ts";

/** Gives a task that is called outside every flow a scope of its own: it runs in this process, on the event loop. */
export function runDetached<T>(name: string, body: (scope: RunScope) => T): T {
  return body(detachedScope(randomUUID(), name, new ConcurrentSession()));
}

/** A scope that belongs to no flow run. */
export function detachedScope(id: string, name: string, session: RunScope["session"]): RunScope {
  const owner = {
    ...{ flowRunId: id, flowName: name, flowRunName: name, taskRunId: undefined, logConsole: false },
    ...{ services: defaultServices(), heldLimits: [], isWithin: () => false },
  };
  return new RunScope(id, owner, session);
}
