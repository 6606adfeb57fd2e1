import { logTo } from "millrace";
import { afterEach, beforeEach } from "vitest";

export type LogLine = Record<string, unknown> & { readonly level: number; readonly msg: string };

const lines: LogLine[] = [];

/**
 * Keeps what the runs of a test log, instead of printing it, for as long as the test runs.
 *
 * @returns the lines so far, of the current test
 */
export function keepLogs(): () => readonly LogLine[] {
  beforeEach(() => {
    lines.length = 0;
    logTo({
      write: (text) => {
        for (const line of text.split("\n")) if (line !== "") lines.push(JSON.parse(line));
      },
    });
  });
  afterEach(() => {
    logTo(undefined);
  });
  return () => lines;
}
