import { BrokerUnavailableError } from "@millrace/core";
import { AwayWatch } from "./away-watch.ts";
import type { Redis } from "./redis-connection.ts";
import { withoutPassword } from "./redis-url.ts";
import { RunnerLeases } from "./runner-lease.ts";

/** Who waits on the connection. */
interface Member {
  /** Redis has been away for too long: what waits for it fails. */
  giveUp(error: Error): void;
  /** The connection is closed. */
  loseCluster?(): void;
}

/** What the runners on one connection share, and a limiter with them. */
export class RunnerGroup {
  readonly leases: RunnerLeases;
  /** How long they wait for a Redis that is away, or that refuses what they send. */
  readonly patienceMs: number;
  /** Of the Redis, for people: without a password. */
  readonly address: string;
  readonly #awayWatch: AwayWatch;
  readonly #members = new Set<Member>();

  constructor(redis: Redis, redisUrl: string, patienceSeconds: number) {
    this.leases = new RunnerLeases(redis, redisUrl);
    this.patienceMs = patienceSeconds * 1000;
    this.address = withoutPassword(redisUrl);
    this.#awayWatch = new AwayWatch(redis, this.patienceMs, () => {
      const error = this.away();
      for (const member of this.#members) member.giveUp(error);
    });
  }

  unavailable(reason: string): BrokerUnavailableError {
    return new BrokerUnavailableError(this.address, reason);
  }

  /** It was away for longer than they wait. */
  away(): BrokerUnavailableError {
    return this.unavailable(`none for ${this.patienceMs / 1000} s`);
  }

  add(member: Member): void {
    this.#members.add(member);
  }

  remove(member: Member): void {
    this.#members.delete(member);
  }

  /** The connection is closed. */
  close(): void {
    this.#awayWatch.stop();
    for (const member of this.#members) member.loseCluster?.();
  }
}
