import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { findFreePort } from "./find-redis.ts";
import { until } from "./until.ts";

/** A master, a replica of it, and three Sentinels that make the replica the master when it dies. */
export interface Sentinels {
  /** As `host:port,host:port,host:port`. */
  readonly hosts: string;
  readonly masterName: string;
  /** The port of the server that is the master now, as the Sentinels say. */
  masterPort(): Promise<number>;
  /** Ends the first master as a power cut would. */
  killMaster(): void;
  close(): Promise<void>;
}

/** So long is the master silent before the Sentinels act, in milliseconds. */
const DOWN_AFTER_MS = 500;
const MASTER_NAME = "the-master";

/** @param settings of the master and the replica; @param password of their default user */
export async function startSentinels(password: string): Promise<Sentinels> {
  const directory = mkdtempSync(join(tmpdir(), "millrace-sentinel-"));
  const servers: ChildProcess[] = [];
  const startServer = async (args: readonly string[], isReady: RegExp) => {
    const server = spawn("redis-server", args, { cwd: directory, stdio: ["ignore", "pipe", "ignore"] });
    servers.push(server);
    for await (const line of createInterface(server.stdout as NodeJS.ReadableStream))
      if (isReady.test(line)) break;
    server.stdout?.resume();
    return server;
  };
  const [first, second] = [await findFreePort(), await findFreePort()];
  const own = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory];
  const access = ["--requirepass", password, "--masterauth", password, "--repl-diskless-sync-delay", "0"];
  const master = await startServer(["--port", `${first}`, ...own, ...access], /ready to accept/i);
  const replicaOf = ["--replicaof", "127.0.0.1", `${first}`];
  await startServer(
    ["--port", `${second}`, ...own, ...access, ...replicaOf],
    /MASTER <-> REPLICA sync: Finished/i,
  );
  const ports: number[] = [];
  for (let index = 0; index < 3; index++) {
    const port = await findFreePort();
    ports.push(port);
    const file = join(directory, `sentinel-${index}.conf`); // Sentinels write what they learn into it.
    writeFileSync(
      file,
      [
        `port ${port}`,
        "bind 127.0.0.1",
        `dir ${directory}`,
        `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${first} 2`,
        `sentinel auth-pass ${MASTER_NAME} ${password}`,
        `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
        `sentinel failover-timeout ${MASTER_NAME} 5000`,
      ].join("\n"),
    );
    await startServer([file, "--sentinel"], /\+monitor master/);
  }
  const sentinel = new Redis({ port: ports[0] as number, host: "127.0.0.1" });
  const know = async () => {
    const [master] = (await sentinel.call("SENTINEL", "MASTERS")) as string[][];
    const fields = Object.fromEntries(
      Array.from({ length: (master?.length ?? 0) / 2 }, (_, i) => [master?.[2 * i], master?.[2 * i + 1]]),
    );
    return fields["num-slaves"] === "1" && fields["num-other-sentinels"] === "2";
  };
  await until("the Sentinels know each other and the replica", know);
  return {
    hosts: ports.map((port) => `127.0.0.1:${port}`).join(","),
    masterName: MASTER_NAME,
    async masterPort() {
      const [, port] = (await sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)) as string[];
      return Number(port);
    },
    killMaster: () => void master.kill("SIGKILL"),
    async close() {
      sentinel.disconnect();
      await Promise.all(
        servers.map(async (server) => {
          if (server.exitCode !== null || server.signalCode !== null) return;
          const exited = once(server, "exit");
          server.kill("SIGKILL");
          await exited;
        }),
      );
      rmSync(directory, { recursive: true });
    },
  };
}
