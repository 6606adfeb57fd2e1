import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { LastLines } from "./last-lines.ts";

export interface RedisServerExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** What happened as a sentence, with the server's last log lines. */
  readonly description: string;
}

/** Settles once the keeper has ended and nobody writes to its log any more, so that the server has gone as well. */
export function waitForExit(
  keeper: ChildProcess,
  executable: string,
  log: LastLines,
): Promise<RedisServerExit> {
  return new Promise((resolve) => {
    keeper.once("error", (error) => {
      resolve({
        code: undefined,
        signal: undefined,
        description: `/bin/sh could not be started: ${error.message}.`,
      });
    });
    keeper.once("close", (status, keeperSignal) => {
      // A shell reports a child that a signal ended as 128 and the number of the signal.
      const signal = keeperSignal ?? signalName((status ?? 0) - 128);
      const code = signal === undefined ? (status ?? undefined) : undefined;
      const end = signal === undefined ? `exited with code ${code}` : `was ended by ${signal}`;
      resolve({ code, signal, description: `${executable} ${end}.${log.text()}` });
    });
  });
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
