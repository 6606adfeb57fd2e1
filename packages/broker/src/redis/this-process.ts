import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** What a process says of itself to those that look at a cluster. */
export interface ProcessFacts {
  readonly host: string;
  readonly pid: number;
  /** When it joined, in milliseconds since the epoch. */
  readonly startedAt: number;
  /** Of Millrace. */
  readonly version: string;
}

export function thisProcess(): ProcessFacts {
  return { host: hostname(), pid: process.pid, startedAt: Date.now(), version: version() };
}

let known: string | undefined;

function version(): string {
  known ??= String(JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version);
  return known;
}
