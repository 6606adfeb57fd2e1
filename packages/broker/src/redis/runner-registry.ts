import { STREAM_TTL_MS } from "../intervals.ts";
import type { Keys } from "./keys.ts";
import type { Redis } from "./redis-connection.ts";
import { type ProcessFacts, thisProcess } from "./this-process.ts";

/** What a runner, the end of a flow run in its process, says of itself. */
export interface RunnerRecord extends ProcessFacts {
  readonly runnerId: string;
  readonly queue: string;
  readonly flowRunId: string;
  readonly flowName: string;
  /** How many of its calls had not settled when it last said so, at most STREAM_RENEWAL_MS ago. */
  readonly calls: number;
}

/** A runner's entry among those that use a namespace. It is for people who look: nothing depends on it. */
export class RunnerEntry {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #facts: Omit<RunnerRecord, "calls">;
  readonly #calls: () => number;

  constructor(
    redis: Redis,
    keys: Keys,
    runner: Pick<RunnerRecord, "runnerId" | "queue" | "flowRunId" | "flowName">,
    calls: () => number,
  ) {
    this.#redis = redis;
    this.#key = keys.runner(runner.runnerId);
    this.#facts = { ...runner, ...thisProcess() };
    this.#calls = calls;
  }

  /** Writes it, for as long as streams live. */
  async renew(): Promise<void> {
    const record: RunnerRecord = { ...this.#facts, calls: this.#calls() };
    await this.#redis.set(this.#key, JSON.stringify(record), "PX", STREAM_TTL_MS);
  }

  async remove(): Promise<void> {
    await this.#redis.del(this.#key);
  }
}

/** A record that somebody else wrote: undefined when it is none. */
export function parseRunner(record: string | null): RunnerRecord | undefined {
  try {
    const parsed = JSON.parse(record ?? "null") as RunnerRecord | null;
    const texts = [parsed?.runnerId, parsed?.queue, parsed?.flowRunId, parsed?.flowName, parsed?.host];
    const numbers = [parsed?.pid, parsed?.startedAt, parsed?.calls];
    const isWhole =
      texts.every((text) => typeof text === "string") &&
      numbers.every((number) => typeof number === "number");
    return isWhole && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}
