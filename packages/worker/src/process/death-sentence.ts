import { constants } from "node:os";

/** Why a thread died, as a sentence, from the error with which it ended. */
export function deathSentence(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return "It ran out of memory.";
  const exitCode = /exited with code: (\d+)/.exec(message ?? "")?.[1];
  if (exitCode !== undefined) return `It called process.exit(${exitCode}), or was ended with that code.`;
  return `It ended with ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}.`;
}

/** Why a process died, as a sentence. */
export function processDeathSentence(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === "SIGKILL")
    return "It was killed by SIGKILL: by somebody, or by the system when memory ran out.";
  if (signal === "SIGABRT")
    return "It was ended by SIGABRT (signal 6): it aborted, as after a native crash or when memory ran out.";
  if (signal !== null) return `It was killed by ${signal} (signal ${constants.signals[signal]}).`;
  if (code === 134) return "It aborted (exit code 134): a native crash, or memory ran out.";
  return code === 0 ? "It ended by itself." : `It ended with exit code ${code}.`;
}
