/**
 * What tasks leave on disk when they begin and when they end: whoever is killed in between leaves a beginning without an
 * end. A file for each flow run; a line is appended by one write, so that those of many processes do not mix.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";

/** The environment variable that tells workers where the journals are. */
export const JOURNAL_VARIABLE = "MILLRACE_CHAOS_JOURNAL";

/** One execution of an attempt. */
export interface Execution {
  readonly taskRunId: string;
  readonly attempt: number;
  /** Which process of a worker executed it, and in which of its threads. */
  readonly pid: number;
  readonly thread: number;
  readonly startedAt: number;
  /** Undefined: its process or its thread died, or it has not ended. */
  readonly endedAt: number | undefined;
}

/** @returns what notes the end */
export function noteExecution(
  directory: string,
  taskRunId: string,
  attempt: number,
  worker: string,
): () => void {
  // A task run's id is its flow run's, which is a UUID, and a path in it.
  const file = join(directory, flowRunIdOf(taskRunId));
  const note = (what: string) =>
    appendFileSync(file, `${taskRunId} ${attempt} ${what} ${Date.now()} ${worker}\n`);
  note("start");
  return () => note("end");
}

export function flowRunIdOf(taskRunId: string): string {
  return taskRunId.slice(0, UUID_LENGTH);
}

const UUID_LENGTH = 36;

/** The call that made a nested one: `<flow run>-3.1-0` is the first run that attempt 1 of `<flow run>-3` made. */
export function parentOf(taskRunId: string): { taskRunId: string; attempt: number } | undefined {
  const [, parent, attempt] = /^(.*)\.(\d+)-\d+$/.exec(taskRunId) ?? [];
  return parent === undefined ? undefined : { taskRunId: parent, attempt: Number(attempt) };
}

/** The executions in a journal, in the order of their beginnings. `worker` is a process and a thread: `4711/2`. */
export function executionsIn(text: string): Execution[] {
  const executions: Execution[] = [];
  /** Those without an end yet. A thread may have several calls under way, also of one attempt when it was sent again. */
  const open = new Map<string, number[]>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [taskRunId, attempt, what, time, worker] = line.split(" ") as [
      string,
      string,
      string,
      string,
      string,
    ];
    const key = `${taskRunId} ${attempt} ${worker}`;
    if (what === "start") {
      open.set(key, [...(open.get(key) ?? []), executions.length]);
      const [pid, thread] = worker.split("/").map(Number) as [number, number];
      executions.push({
        taskRunId,
        attempt: Number(attempt),
        ...{ pid, thread },
        startedAt: Number(time),
        endedAt: undefined,
      });
    } else {
      const begun = open.get(key)?.shift();
      if (begun === undefined) throw new Error(`Expected the beginning of what ended: ${line}`);
      executions[begun] = { ...(executions[begun] as Execution), endedAt: Number(time) };
    }
  }
  return executions;
}
