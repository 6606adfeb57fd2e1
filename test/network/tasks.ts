/** The tasks of the network tests. Workers import this module, so it defines tasks and does nothing else. */
import { setTimeout as sleep } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import { getRunContext, task } from "millrace";
import { noteExecution } from "../chaos/journal.ts";

export interface Work {
  readonly taskRunId: string;
  readonly square: number;
  readonly pid: number;
}

/** Takes its time, and does not hear that it is to stop: so the outcome comes, late as it may be. */
export const work = task({ name: "work" }, async (n: number, journals: string, ms: number): Promise<Work> => {
  const { taskRunId, attempt } = getRunContext();
  const end = noteExecution(journals, taskRunId as string, attempt, `${process.pid}/${threadId}`);
  await sleep(ms);
  end();
  return { taskRunId: taskRunId as string, square: n * n, pid: process.pid };
});
