import { randomUUID } from "node:crypto";
import { ConcurrentSession } from "./concurrent-task-runner.ts";
import { RunScope } from "./run-scope.ts";

/** Gives a task that is called outside every flow a scope of its own: it runs in this process, on the event loop. */
export function runDetached<T>(name: string, body: (scope: RunScope) => T): T {
  const id = randomUUID();
  return body(
    new RunScope(id, { flowRunId: id, flowName: name, logConsole: false }, new ConcurrentSession()),
  );
}
