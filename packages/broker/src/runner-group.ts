import { BrokerUnavailableError } from "@millrace/core";
import { AwayWatch } from "./away-watch.ts";
import type { BullMqRunner } from "./bullmq-runner.ts";
import type { Redis } from "./redis-connection.ts";
import { withoutPassword } from "./redis-url.ts";
import { RunnerLeases } from "./runner-lease.ts";

/** What the runners on one connection share. */
export class RunnerGroup {
  readonly leases: RunnerLeases;
  /** How long they wait for a Redis that is away, or that refuses what they send. */
  readonly patienceMs: number;
  /** Of the Redis, for people: without a password. */
  readonly address: string;
  readonly #awayWatch: AwayWatch;
  readonly #runners = new Set<BullMqRunner>();

  constructor(redis: Redis, redisUrl: string, patienceSeconds: number) {
    this.leases = new RunnerLeases(redis, redisUrl);
    this.patienceMs = patienceSeconds * 1000;
    this.address = withoutPassword(redisUrl);
    this.#awayWatch = new AwayWatch(redis, this.patienceMs, () => {
      const error = this.unavailable(`none for ${patienceSeconds} s`);
      for (const runner of this.#runners) runner.giveUp(error);
    });
  }

  unavailable(reason: string): BrokerUnavailableError {
    return new BrokerUnavailableError(this.address, reason);
  }

  add(runner: BullMqRunner): void {
    this.#runners.add(runner);
  }

  remove(runner: BullMqRunner): void {
    this.#runners.delete(runner);
  }

  /** The connection is closed. */
  close(): void {
    this.#awayWatch.stop();
    for (const runner of this.#runners) runner.loseCluster();
  }
}
