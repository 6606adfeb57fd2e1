import { execFile } from "node:child_process";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { promisify } from "node:util";
import type { Machine } from "./figure.ts";
import type { PythonPeer } from "./systems/python.ts";

/** What figures are measured on: they mean nothing without it. */
export async function describeMachine(isQuick: boolean, peers: readonly PythonPeer[]): Promise<Machine> {
  const peer = (name: string) => peers.find((candidate) => candidate.name === name)?.version ?? null;
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${release()}`,
    isQuick,
    versions: {
      Node: process.versions.node,
      Redis: await redisVersion(),
      Dask: peer("Dask"),
      Ray: peer("Ray"),
    },
  };
}

async function redisVersion(): Promise<string | null> {
  const { stdout } = await promisify(execFile)("redis-server", ["--version"]);
  return /v=(\S+)/.exec(stdout)?.[1] ?? null;
}
