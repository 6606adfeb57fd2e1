import { randomUUID } from "node:crypto";
import type { BullMqBroker } from "@millrace/broker/bullmq";
import { Nanny, tsxOf, type WorkerProcessOptions } from "@millrace/worker";
import {
  CLOSE_GRACE_SECONDS,
  type ClusterHost,
  type HostedWorker,
  type HostOptions,
} from "./cluster-host.ts";
import { type RedisServer, startRedisServer } from "./redis-server.ts";

/** Workers as processes of their own, each under a nanny, behind a Redis: a private one, or one that is named. */
export class RedisHost implements ClusterHost {
  readonly description: string;
  readonly broker: BullMqBroker;
  readonly #server: RedisServer | undefined;
  readonly #worker: Omit<WorkerProcessOptions, "workerId">;

  /** Starts a private server for the cluster. @throws RedisServerError */
  static async withPrivateServer(executable: string, options: HostOptions): Promise<RedisHost> {
    const server = await startRedisServer({ executable });
    try {
      return await RedisHost.#connect(server.url, server, options);
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Uses a server that is there. @throws BrokerUnavailableError, RedisUnsuitableError, InvalidOptionError */
  static withServer(redisUrl: string, options: HostOptions): Promise<RedisHost> {
    return RedisHost.#connect(redisUrl, undefined, options);
  }

  static async #connect(
    redisUrl: string,
    server: RedisServer | undefined,
    options: HostOptions,
  ): Promise<RedisHost> {
    const { BullMqBroker } = await import("@millrace/broker/bullmq");
    // A namespace of its own: two clusters on one Redis must not take each other's batches.
    const namespace = `local-${randomUUID()}`;
    const broker = await BullMqBroker.connect({ redisUrl, namespace, queue: options.queue });
    return new RedisHost(broker, server, {
      ...options,
      redisUrl,
      namespace,
      tsx: tsxOf(process.execArgv),
      graceSeconds: CLOSE_GRACE_SECONDS,
    });
  }

  private constructor(
    broker: BullMqBroker,
    server: RedisServer | undefined,
    worker: Omit<WorkerProcessOptions, "workerId">,
  ) {
    this.broker = broker;
    this.#server = server;
    this.#worker = worker;
    this.description = `worker processes behind ${server === undefined ? "the named Redis" : "a private redis-server"}`;
  }

  async addWorker(): Promise<HostedWorker> {
    const nanny = new Nanny({
      worker: this.#worker,
      onDeath: (workerId) => void this.broker.workerDied(workerId).catch(ignore),
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
    // A private server takes its data with it; elsewhere nothing may stay behind.
    if (this.#server === undefined) await this.broker.deleteNamespace().catch(ignore);
    await this.broker.close();
    await this.#server?.close();
  }
}

function ignore(): void {}
