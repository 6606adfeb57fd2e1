import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A Redis for a peer, on a unix socket as a local cluster has it, for as long as the body runs. */
export async function withPrivateRedis<R>(body: (socketPath: string) => Promise<R>): Promise<R> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const path = join(directory, "redis.sock");
  const server = spawn("redis-server", [
    "--port",
    "0",
    "--unixsocket",
    path,
    "--save",
    "",
    "--appendonly",
    "no",
  ]);
  try {
    for await (const text of server.stdout) if (String(text).includes("ready to accept connections")) break;
    return await body(path);
  } finally {
    server.kill();
    if (server.exitCode === null) await once(server, "exit");
    await rm(directory, { recursive: true, force: true });
  }
}
