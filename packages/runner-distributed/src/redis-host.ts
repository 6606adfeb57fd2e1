import type { ChildProcess } from "node:child_process";
import type { BullMqBroker } from "@millrace/broker/bullmq";
import { readSettings } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import { forkWorkerProcess, Nanny, tsxOf, type WorkerProcessOptions } from "@millrace/worker";
import {
  CLOSE_GRACE_SECONDS,
  type ClusterHost,
  type HostedWorker,
  type HostOptions,
} from "./cluster-host.ts";
import { type RedisServer, startRedisServer } from "./redis-server.ts";

/** Where the Redis of a local cluster is: a URL, or the program of a private server. */
export type RedisPlace = { readonly url: string } | { readonly executable: string };

/** Workers as processes of their own, each under a nanny, behind a Redis: a private one, or one that is named. */
export class RedisHost implements ClusterHost {
  readonly description: string;
  readonly broker: BullMqBroker;
  /** Its private server. */
  #server: RedisServer | undefined;
  #isClosed = false;
  readonly #worker: Omit<WorkerProcessOptions, "workerId">;
  /** Started ahead, for the first workers. */
  readonly #processes: ChildProcess[];

  /**
   * Connects, after it has started a private server when there is to be one. The processes of the first workers start
   * beside that: bullmq takes them 0.15 s to load, and this process as long.
   *
   * @throws RedisServerError, BrokerUnavailableError, RedisUnsuitableError, InvalidOptionError
   */
  static async open(place: RedisPlace, options: HostOptions, workers: number): Promise<RedisHost> {
    const processes = Array.from({ length: workers }, forkWorkerProcess);
    const loading = import("@millrace/broker/bullmq");
    let server: RedisServer | undefined;
    try {
      if ("executable" in place) server = await startRedisServer(place);
      const redisUrl = "url" in place ? place.url : (server as RedisServer).url;
      const { BullMqBroker, newLocalNamespace } = await loading;
      const namespace = newLocalNamespace();
      // A private server is on a socket that other users cannot open.
      const secret = "url" in place ? readSettings().secret : undefined;
      const broker = await BullMqBroker.connect({ redisUrl, namespace, queue: options.queue, secret });
      if ("url" in place) void broker.removeDeadLocalNamespaces();
      const worker = {
        redisUrl,
        namespace,
        secret,
        tsx: tsxOf(process.execArgv),
        graceSeconds: CLOSE_GRACE_SECONDS,
      };
      return new RedisHost(broker, server, { ...options, ...worker }, processes);
    } catch (error) {
      dismiss(processes);
      await server?.close();
      throw error;
    }
  }

  private constructor(
    broker: BullMqBroker,
    server: RedisServer | undefined,
    worker: Omit<WorkerProcessOptions, "workerId">,
    processes: ChildProcess[],
  ) {
    this.broker = broker;
    this.#server = server;
    this.#worker = worker;
    this.#processes = processes;
    if (server !== undefined) this.#keep(server);
    this.description = `worker processes behind ${server === undefined ? "the named Redis" : "a private redis-server"}`;
  }

  /** A server that has died is started again in its place. It comes back empty, which runners and workers survive. */
  #keep(server: RedisServer): void {
    void server.exited.then(async ({ description }) => {
      if (this.#isClosed) return;
      processLogger().warn({ reason: description }, "the private Redis server died and is started again");
      const { executable, directory } = server;
      try {
        this.#server = await startRedisServer({ executable, directory });
      } catch (error) {
        processLogger().error({ err: error }, "the private Redis server could not be started again");
        return; // What waits for it fails when it has been away for too long.
      }
      if (this.#isClosed) await this.#server.close();
      else this.#keep(this.#server);
    });
  }

  async addWorker(): Promise<HostedWorker> {
    const nanny = new Nanny({
      worker: this.#worker,
      process: this.#processes.shift(),
      onDeath: (workerId, reason) => void this.broker.workerDied(workerId, reason).catch(ignore),
    });
    try {
      await nanny.start();
    } catch (error) {
      await nanny.stop();
      throw error;
    }
    return {
      get pid() {
        return nanny.pid;
      },
      stop: () => nanny.stop(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    dismiss(this.#processes);
    // A private server takes its data with it; elsewhere nothing may stay behind.
    if (this.#server === undefined) await this.broker.deleteNamespace();
    await this.broker.close();
    await this.#server?.close();
  }
}

function dismiss(processes: readonly ChildProcess[]): void {
  for (const process of processes) if (process.connected) process.disconnect();
}

function ignore(): void {}
