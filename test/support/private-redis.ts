import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { findFreePort } from "./find-redis.ts";

export interface PrivateRedis {
  readonly url: string;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
}

/**
 * A Redis server of a test's own: one with odd settings, or one to be killed. `redis-server` must be on the PATH,
 * which is where the tests' own Redis comes from, unless MILLRACE_REDIS_URL or Docker gives it.
 */
export function startPrivateRedis(...settings: string[]): Promise<PrivateRedis> {
  return startPrivateRedisIn({}, ...settings);
}

/** The same, with more in its environment. */
export async function startPrivateRedisIn(
  environment: NodeJS.ProcessEnv,
  ...settings: string[]
): Promise<PrivateRedis> {
  const port = await findFreePort();
  const base = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = spawn("redis-server", [...base, ...settings], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...environment },
  });
  const exited = once(server, "exit");
  for await (const line of createInterface(server.stdout))
    if (/ready to accept connections/i.test(line)) break;
  server.stdout.resume();
  return {
    url: `redis://127.0.0.1:${port}`,
    async kill() {
      server.kill("SIGKILL");
      await exited;
    },
  };
}
