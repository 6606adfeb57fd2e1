import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { findFreePort } from "./find-redis.ts";
import { until } from "./until.ts";

/** A Redis server of a test's own that writes each command to its disk, so that it can be killed and come back. */
export class RestartableRedis implements AsyncDisposable {
  readonly url: string;
  readonly #port: number;
  readonly #directory: string;
  #server!: ChildProcess;

  static async start(): Promise<RestartableRedis> {
    const directory = await mkdtemp(join(tmpdir(), "millrace-restart-"));
    const redis = new RestartableRedis(await findFreePort(), directory);
    await redis.#launch();
    return redis;
  }

  private constructor(port: number, directory: string) {
    this.#port = port;
    this.#directory = directory;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    if (this.#server.exitCode !== null || this.#server.signalCode !== null) return;
    const exited = once(this.#server, "exit");
    this.#server.kill("SIGKILL");
    await exited;
  }

  /** Starts it again, after it was killed. */
  async comeBack({ isEmpty = false }: { readonly isEmpty?: boolean } = {}): Promise<void> {
    if (isEmpty) await rm(join(this.#directory, "appendonlydir"), { recursive: true, force: true });
    await this.#launch();
  }

  /** Beyond the limit it refuses what would need more: `"0"` is none. */
  async setMemoryLimit(limit: string): Promise<void> {
    await this.#ask((redis) => redis.config("SET", "maxmemory", limit));
  }

  /** Resolves when it has refused so many commands, since it was started, for want of memory. */
  async hasRefused(commands: number): Promise<void> {
    await until("it has refused commands", async () => {
      const errors = await this.#ask((redis) => redis.info("errorstats"));
      return Number(/errorstat_OOM:count=(\d+)/.exec(errors)?.[1] ?? 0) >= commands;
    });
  }

  /** Resolves when the time to live of the only key that matches has been made longer. */
  async hasRenewed(pattern: string): Promise<void> {
    await this.#ask(async (redis) => {
      let leftMs = Number.POSITIVE_INFINITY;
      await until("it has been renewed", async () => {
        const [key] = await redis.keys(pattern);
        const beforeMs = leftMs;
        if (key !== undefined) leftMs = await redis.pttl(key);
        return leftMs > beforeMs;
      });
    });
  }

  async #ask<R>(what: (redis: Redis) => Promise<R>): Promise<R> {
    const redis = new Redis(this.url);
    try {
      return await what(redis);
    } finally {
      redis.disconnect();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #launch(): Promise<void> {
    const where = ["--port", `${this.#port}`, "--bind", "127.0.0.1", "--dir", this.#directory];
    const how = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    this.#server = spawn("redis-server", [...where, ...how], { stdio: ["ignore", "pipe", "ignore"] });
    const { stdout } = this.#server;
    for await (const line of createInterface(stdout!)) if (/ready to accept connections/i.test(line)) break;
    stdout!.resume();
  }
}
