import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findFreePort } from "./find-redis.ts";

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
