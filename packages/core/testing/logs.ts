import { afterEach, beforeEach } from "vitest";
import { logTo } from "../src/logger.ts";

export type LogLine = Record<string, unknown> & { readonly level: number; readonly msg: string };

/** Keeps the log lines of each test of a file, instead of printing them. Gives the lines so far. */
export function keepLogs(): () => readonly LogLine[] {
  let lines: LogLine[] = [];
  beforeEach(() => {
    lines = [];
    logTo({ write: (line) => lines.push(JSON.parse(line)) });
  });
  afterEach(() => logTo(undefined));
  return () => lines;
}
