import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { RedisServerError } from "@millrace/core";

const SERVER_NAMES = ["redis-server", "valkey-server"];

/** Finds a Redis server in the directories of `searchPath` (the value of PATH); the first one wins. */
export function findRedisServer(searchPath: string): string | undefined {
  for (const directory of searchPath.split(delimiter)) {
    if (!isAbsolute(directory)) continue;
    for (const name of SERVER_NAMES) {
      const candidate = join(directory, name);
      if (reasonNotExecutable(candidate) === undefined) return candidate;
    }
  }
  return undefined;
}

/** @throws RedisServerError when this cannot be run */
export function checkCanStart(executable: string): void {
  if (process.platform === "win32") {
    throw new RedisServerError(
      "Expected Linux or macOS for a private Redis server, got Windows, where it is not supported. Give the runner a " +
        'Redis of yours with `redis`, or choose `broker: "memory"`.',
    );
  }
  const reason = isAbsolute(executable) ? reasonNotExecutable(executable) : "a path that is not absolute";
  if (reason === undefined) return;
  throw new RedisServerError(
    `Expected the path of a redis-server or valkey-server that can be run, got "${executable}": ${reason}. Install ` +
      'one (such as with `apt-get install redis-server` or `brew install redis`), or choose `broker: "memory"`.',
  );
}

function reasonNotExecutable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile() ? undefined : "not a file";
  } catch (error) {
    return (error as Error).message;
  }
}
