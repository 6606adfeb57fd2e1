import { type FlowRun, flow, type TaskRunner, unmapped } from "millrace";
import { expect } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import type { Gate } from "./gate.ts";
import { until } from "./until.ts";

/** How many calls of a task that is new may be unfinished, for each thread: see broker/src/dispatch/stream-window.ts. */
export const WINDOW_PER_THREAD = 100;

/** What a flow maps over, and what it has taken of it so far. */
export class CountedSource {
  readonly names: string[] = [];
  hasEnded = false;
  readonly #most: number;

  /** Without an end, when it is not said how many there are. */
  constructor(most = Number.POSITIVE_INFINITY) {
    this.#most = most;
  }

  async *items(): AsyncGenerator<string> {
    try {
      while (this.names.length < this.#most) {
        this.names.push(`${this.names.length}`);
        yield this.names.at(-1) as string;
      }
    } finally {
      this.hasEnded = true;
    }
  }

  /** Waits until so many are taken and calls with them are held: meanwhile, others could have been taken as well. */
  async expectPulled(count: number, gate: Gate): Promise<void> {
    await until(`${count} items are taken`, () => this.names.length >= count);
    await gate.waitFor("a call has begun", (starts) => starts.length > 0);
    expect(this.names).toHaveLength(count);
    expect(this.hasEnded).toBe(false);
  }
}

/** Starts a flow that maps over the source runs which wait for the gate. It gives their names. */
export function startStream(
  taskRunner: TaskRunner,
  gate: Gate,
  source: CountedSource,
  { hold = tasks.hold, before }: { hold?: typeof tasks.hold; before?: () => Promise<unknown> } = {},
): FlowRun<string[]> {
  return flow({ name: "stream", taskRunner }, async () => {
    await before?.();
    const names: string[] = [];
    const ends = hold.map(unmapped(gate.directory), source.items()).results();
    for await (const { name } of ends) names.push(name);
    return names;
  }).start();
}
