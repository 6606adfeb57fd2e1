import type { Queue } from "@millrace/core/internal";
import type { Capacity } from "../broker.ts";
import { costMs, planBatch } from "./batch-plan.ts";
import type { Durations } from "./durations.ts";
import type { Entry } from "./entries.ts";
import type { Outstanding } from "./outstanding.ts";
import { growBatch } from "./subgraph.ts";

export interface BatchChoiceOptions {
  /** Work per thread that a batch aims at. */
  readonly batchMs: number;
  readonly durations: Durations;
  readonly outstanding: Outstanding;
}

/** Chooses the calls that travel together: as many as are ready and fit, and those that wait for nothing but these. */
export class BatchChoice {
  readonly #batchMs: number;
  readonly #durations: Durations;
  readonly #outstanding: Outstanding;

  constructor({ batchMs, durations, outstanding }: BatchChoiceOptions) {
    this.#batchMs = batchMs;
    this.#durations = durations;
    this.#outstanding = outstanding;
  }

  /** Takes the calls of the next batch from the front of a queue. None: the window is full. */
  take(queue: Queue<Entry>, capacity: Capacity): readonly Entry[] {
    const { busyCalls, busyMs, sizeBytes } = this.#outstanding;
    const count = planBatch({
      ...capacity,
      batchMs: this.#batchMs,
      outstandingCalls: busyCalls,
      outstandingMs: busyMs,
      outstandingBytes: sizeBytes,
      backlog: queue.size,
      expectedMs: (index) => this.#durations.expectedMs(queue.at(index).taskKey),
      hasDependents: (index) => queue.at(index).dependents !== undefined,
    });
    if (count === 0) return [];
    const seeds = queue.take(count);
    const { priority } = seeds[0] as Entry;
    return growBatch<Entry>(seeds, {
      ...capacity,
      dependentsOf: (entry) => entry.dependents,
      waitsFor: (entry) => (entry.priority === priority ? entry.waitsFor : undefined),
      costMs: (entry) => this.costMs(entry),
    });
  }

  /** What the call is expected to take, or counts for when nobody knows. */
  costMs({ taskKey }: Entry): number {
    return costMs(this.#durations.expectedMs(taskKey), this.#batchMs);
  }
}
