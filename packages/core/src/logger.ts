import pino, { type Logger } from "pino";
import { activeContext, type RunContext } from "./engine/context.ts";
import { describe, MissingContextError } from "./errors/errors.ts";
import { type LogLevel, readSettings } from "./settings.ts";

export type { Logger };

/** Where log lines go: each is one line of JSON with its line feed. */
export interface LogDestination {
  write(line: string): void;
}

let destination: LogDestination | undefined;
let level: LogLevel | undefined;
let root: Logger | undefined;

/**
 * Sends the lines of this process's run loggers to `to`; before that, and with `undefined`, they go to standard error, so that a
 * program's own output stays clean.
 */
export function logTo(to: LogDestination | undefined): void {
  destination = to;
}

/** The level of run loggers here and in the workers that serve this process. Default: `MILLRACE_LOG_LEVEL`, or info. */
export function setLogLevel(to: LogLevel): void {
  level = to;
  if (root !== undefined) root.level = to;
}

export function logLevel(): LogLevel {
  level ??= readSettings().logLevel;
  return level;
}

/** Writes a finished line, such as one that came from a worker. */
export function writeLogLine(line: string): void {
  destination ??= pino.destination({ fd: 2, sync: true });
  destination.write(line);
}

/** The logger above all run loggers, for what belongs to no run. */
export function processLogger(): Logger {
  // No `base`: the process id and host name of pino's default say less than the run's ids, and cost bytes per line.
  root ??= pino(
    { level: logLevel(), base: null, serializers: { err: errorForLog } },
    { write: writeLogLine },
  );
  return root;
}

/** pino marks an error while it reads it, and so throws for a frozen one. No error may break what logs it. */
function errorForLog(error: Error): unknown {
  try {
    return pino.stdSerializers.err(error);
  } catch {
    return describe(error);
  }
}

const loggers = new WeakMap<RunContext, Logger>();

/**
 * The logger of the run that the calling code is part of: every line carries the ids and names of the flow run and the
 * task run. Lines written in a worker reach the flow's process in order.
 *
 * @throws MissingContextError outside every run
 */
export function getRunLogger(): Logger {
  const context = activeContext();
  if (context === undefined) throw new MissingContextError("getRunLogger()");
  let logger = loggers.get(context);
  if (logger === undefined) {
    logger = runLogger(context);
    loggers.set(context, logger);
  }
  return logger;
}

function runLogger({ flowRunId, flowName, taskRunId, taskName, attempt }: RunContext): Logger {
  return processLogger().child({
    flowRunId,
    flowName,
    ...(taskRunId !== undefined && { taskRunId, taskName, attempt }),
  });
}

/** The logger of a task run, for the engine, which is not inside it. */
export function taskRunLogger(run: {
  readonly flowRunId: string;
  readonly flowName: string;
  readonly taskRunId: string;
  readonly task: { readonly name: string };
  readonly attempt: number;
}): Logger {
  const { flowRunId, flowName, taskRunId, attempt } = run;
  return processLogger().child({ flowRunId, flowName, taskRunId, taskName: run.task.name, attempt });
}
