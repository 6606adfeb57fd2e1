import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PrivateRedis extends AsyncDisposable {
  readonly socketPath: string;
}

/** A Redis on a unix socket that keeps nothing on disk: the same for Millrace and for its peers. */
export async function startPrivateRedis(): Promise<PrivateRedis> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const socketPath = join(directory, "redis.sock");
  const flags = ["--port", "0", "--unixsocket", socketPath, "--save", "", "--appendonly", "no"];
  const server = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
  const stop = async () => {
    server.kill();
    if (server.exitCode === null) await once(server, "exit");
    await rm(directory, { recursive: true, force: true });
  };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("exit", () => reject(new Error("Expected redis-server to accept connections; it ended.")));
    server.stdout.on("data", (text) => {
      if (String(text).includes("ready to accept connections")) resolve();
    });
  });
  return { socketPath, [Symbol.asyncDispose]: stop };
}

/** The same, for as long as the body runs. */
export async function withPrivateRedis<R>(body: (socketPath: string) => Promise<R>): Promise<R> {
  await using redis = await startPrivateRedis();
  return await body(redis.socketPath);
}
