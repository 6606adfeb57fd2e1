import { MillraceError } from "./millrace-error.ts";

/** Errors of runs: one that cannot be made, how one ended that has no value, and runs that were waited for. */

/** A task was submitted to a flow run that has already ended. */
export class FlowRunEndedError extends MillraceError {
  readonly code = "ERR_FLOW_RUN_ENDED";
  constructor(taskName: string, flowRunId: string) {
    super(
      `Expected flow run ${flowRunId} to be running when task "${taskName}" was submitted, but it has ended. ` +
        `Submit tasks before the flow function returns, and await work started in callbacks.`,
    );
  }
}

/** `submit` or `map` was called where there is no flow run to belong to. */
export class MissingContextError extends MillraceError {
  readonly code = "ERR_MISSING_CONTEXT";
  constructor(what: string) {
    super(
      `Expected ${what} to be called inside a flow run or a task run, but there is none. Call it from a flow's or a ` +
        `task's function; a task called as a plain function works anywhere.`,
    );
  }
}

/** The result of a run was asked for, and the run never started because something that it needs did not complete. */
export class UnfinishedRunError extends MillraceError {
  readonly code = "ERR_UNFINISHED_RUN";
  constructor(runId: string, stateName: string, message: string) {
    super(`Expected run ${runId} to have a result, but it ended ${stateName}. ${message}`);
  }
}

/** The result of a run that failed without an error of its own, such as one that returned a Failed state. */
export class FailedRunError extends MillraceError {
  readonly code = "ERR_FAILED_RUN";
}

/** The result of a run that crashed: it ended for a reason outside the user's function, such as a dead process. */
export class CrashedRunError extends MillraceError {
  readonly code = "ERR_CRASHED_RUN";
}

/** The result of a run that was cancelled. */
export class CancelledRunError extends MillraceError {
  readonly code = "ERR_CANCELLED_RUN";
}

/** A run took longer than its `timeoutSeconds`. It is the data of a FAILED state named TimedOut. */
export class RunTimeoutError extends MillraceError {
  readonly code = "ERR_RUN_TIMEOUT";
  constructor(kind: "Task run" | "Flow run", timeoutSeconds: number) {
    super(`${kind} exceeded timeout of ${timeoutSeconds} seconds`);
  }
}

/** A task run waits for itself: its own future is among the arguments of a task that it calls, or it awaits it. */
export class SelfDependencyError extends MillraceError {
  readonly code = "ERR_SELF_DEPENDENCY";
  constructor(taskRunId: string) {
    super(
      `Expected task run ${taskRunId} to wait for other runs only, but it needs its own result, which would never ` +
        `come. Do not use a task's future inside the task itself.`,
    );
  }
}

/** Task runs that nobody holds and that nothing will end: the flow run would wait for ever. A bug of Millrace. */
export class LostRunError extends MillraceError {
  readonly code = "ERR_LOST_RUN";
  constructor(taskRunIds: readonly string[]) {
    super(
      `Expected every task run that is not final to have a holder or a reason to wait, got none for ` +
        `${taskRunIds.join(", ")}. This is a bug of Millrace: please report it, with the lines of the log before this one.`,
    );
  }
}

/** Runs that were waited for were not final in time. */
export class WaitTimeoutError extends MillraceError {
  readonly code = "ERR_WAIT_TIMEOUT";
  constructor(unfinished: number, total: number) {
    super(
      `Expected all futures to be final in time, got ${unfinished} (of ${total}) futures unfinished. Raise ` +
        `timeoutSeconds, or go on with those that are done: wait() tells them apart.`,
    );
  }
}
