import { homedir } from "node:os";
import { join } from "node:path";
import { InvalidOptionError } from "./errors/errors.ts";
import { asSecret } from "./secret.ts";

/** Log levels of pino, from the most to the least talkative. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the environment sets. Options given in code win over it. */
export interface Settings {
  /** `MILLRACE_REDIS_URL`: the Redis of the standing cluster. Unset: there is none. */
  readonly redisUrl: string | undefined;
  /**
   * `MILLRACE_REDIS_CA`: path of a PEM file with the certificates of the authorities that a `rediss://` server's certificate may come
   * from. Unset: those that Node trusts.
   */
  readonly redisCa: string | undefined;
  /** `MILLRACE_SECRET`: what messages in the Redis of a standing cluster are signed with. Unset: they are not signed. */
  readonly secret: string | undefined;
  /** `MILLRACE_LOG_LEVEL`: the least level that run loggers write. Default `info`. */
  readonly logLevel: LogLevel;
  /** `MILLRACE_HOME`: the directory for what Millrace keeps on this machine. Default `.millrace` in the user's home. */
  readonly home: string;
  /** `MILLRACE_REFRESH_CACHE`: `1` or `true` makes every task run although its result is cached. Default no. */
  readonly refreshCache: boolean;
  /** `PATH`: where programs such as `redis-server` are looked for. */
  readonly searchPath: string;
}

/** Reads the settings from the environment: the only place of Millrace that does. An empty variable counts as unset. */
export function readSettings(environment: NodeJS.ProcessEnv = process.env): Settings {
  const logLevel = environment.MILLRACE_LOG_LEVEL || "info";
  if (!isLogLevel(logLevel)) {
    throw new InvalidOptionError("MILLRACE_LOG_LEVEL", `one of ${LOG_LEVELS.join(", ")}`, logLevel);
  }
  return {
    redisUrl: environment.MILLRACE_REDIS_URL || undefined,
    redisCa: environment.MILLRACE_REDIS_CA || undefined,
    secret: environment.MILLRACE_SECRET
      ? asSecret("MILLRACE_SECRET", environment.MILLRACE_SECRET)
      : undefined,
    logLevel,
    home: environment.MILLRACE_HOME || join(homedir(), ".millrace"),
    refreshCache: ["1", "true"].includes(environment.MILLRACE_REFRESH_CACHE ?? ""),
    searchPath: environment.PATH ?? "",
  };
}

function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}
