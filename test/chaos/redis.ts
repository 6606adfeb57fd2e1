/** The Redis under test: a server of the suite's own that can be killed, and started again with its data or without. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import type { Program, Programs } from "./programs.ts";

export type Fsync = "always" | "everysec";

const POLL_MS = 20;
const START_TIMEOUT_MS = 30_000;

export class ChaosRedis {
  readonly url: string;
  readonly #socket: string;
  readonly #data: string;
  readonly #programs: Programs;
  readonly #fsync: Fsync;
  #server!: Program;
  #admin: Redis | undefined;
  /** What is done to the server is done one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  isPaused = false;

  constructor(directory: string, programs: Programs, fsync: Fsync) {
    this.#socket = join(directory, "redis.sock");
    this.#data = join(directory, "redis-data");
    this.url = `unix://${this.#socket}`;
    this.#programs = programs;
    this.#fsync = fsync;
    mkdirSync(this.#data);
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Waits for what is being done to the server, and does this. */
  exclusively<R>(action: () => Promise<R>): Promise<R> {
    const done = this.#last.then(action, action);
    this.#last = done.catch(() => {});
    return done;
  }

  async start(): Promise<void> {
    // A socket for users alone: no port that others may take between an end and a start.
    const settings = {
      ...{ port: "0", unixsocket: this.#socket, dir: this.#data, save: "" },
      ...{ appendonly: "yes", appendfsync: this.#fsync, "maxmemory-policy": "noeviction" },
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    this.#server = this.#programs.start("redis", "redis-server", flags);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#answers())) {
      if (Date.now() > deadline) throw new Error(`Expected Redis to start: ${this.#server.output()}`);
      await sleep(POLL_MS);
    }
  }

  async kill(): Promise<void> {
    this.#disconnect();
    this.#server.child.kill("SIGKILL");
    await this.#server.exited;
  }

  /** Forgets what the server has on disk; it must not run. */
  empty(): void {
    rmSync(this.#data, { recursive: true, force: true });
    mkdirSync(this.#data);
  }

  pause(): void {
    this.isPaused = true;
    this.#server.child.kill("SIGSTOP");
  }

  resume(): void {
    this.isPaused = false;
    this.#server.child.kill("SIGCONT");
  }

  /** A connection for the suite's own commands. */
  async admin(): Promise<Redis> {
    if (this.#admin?.status === "ready") return this.#admin;
    this.#disconnect();
    const admin = new Redis({ path: this.#socket, retryStrategy: () => null, lazyConnect: true });
    admin.on("error", () => {});
    this.#admin = admin;
    await admin.connect();
    return admin;
  }

  async close(): Promise<void> {
    this.#disconnect();
    if (this.#server === undefined) return;
    this.#server.child.kill("SIGCONT");
    this.#server.child.kill("SIGTERM");
    await this.#server.exited;
  }

  #disconnect(): void {
    this.#admin?.disconnect();
    this.#admin = undefined;
  }

  /** Has it loaded its data? */
  async #answers(): Promise<boolean> {
    try {
      return (await (await this.admin()).ping()) === "PONG";
    } catch {
      return false;
    }
  }
}
