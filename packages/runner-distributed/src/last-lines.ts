import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const KEPT_LINES = 20;

/** The last lines that a process has logged. */
export interface LastLines {
  /** The kept lines, each on a line of its own, or a remark that there are none. */
  text(): string;
}

export function keepLastLines(...streams: Readable[]): LastLines {
  const lines: string[] = [];
  for (const stream of streams) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
    });
  }
  return {
    text: () =>
      lines.length === 0
        ? " It logged nothing."
        : ` Its last log lines:\n${lines.map((line) => `  ${line}`).join("\n")}`,
  };
}
