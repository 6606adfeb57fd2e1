/**
 * What tasks that end their thread or their process leave on disk before they do: which others it took along is known by that
 * alone, since the worker that a fault's task comes to is nobody's choice.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";

export const DEATHS_FILE = "deaths";

/** How a task dies: by an end of its thread, by filling its memory, by an abort of its process, by a time limit that it does not heed. */
export type Death = "exit" | "heap" | "abort" | "endless";

/** A task that begins to die. */
export interface DyingTask {
  readonly how: Death;
  readonly at: number;
  readonly pid: number;
  readonly thread: number;
}

/** @param directory that of the journals */
export function noteDeath(directory: string, how: Death, pid: number, thread: number): void {
  appendFileSync(join(directory, DEATHS_FILE), `${how} ${Date.now()} ${pid} ${thread}\n`);
}

export function deathIn(line: string): DyingTask {
  const [how, at, pid, thread] = line.split(" ") as [Death, string, string, string];
  return { how, at: Number(at), pid: Number(pid), thread: Number(thread) };
}
