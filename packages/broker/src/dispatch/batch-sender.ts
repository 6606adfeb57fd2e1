import type { Capacity, RunnerLink } from "../broker.ts";
import type { Values } from "../values/values.ts";
import { BatchBuilder } from "./batch-builder.ts";
import type { BatchChoice } from "./batch-choice.ts";
import { MOST_BATCH_BYTES, MOST_BATCH_VALUE_BYTES } from "./batch-plan.ts";
import { aloneUntil } from "./blame.ts";
import type { Entry } from "./entries.ts";
import { HandBackWatch } from "./hand-back-watch.ts";
import type { Outstanding } from "./outstanding.ts";
import type { Waiting } from "./waiting.ts";

export interface BatchSenderOptions {
  readonly link: RunnerLink;
  readonly values: Values;
  readonly waiting: Waiting;
  readonly outstanding: Outstanding;
  readonly choice: BatchChoice;
  /** Nothing can be sent, since there is no worker. Told each time that it is tried. */
  readonly onNoWorkers: () => void;
}

/**
 * Calls taken in one turn of the event loop before a first batch leaves: the cluster works while a long loop submits. No-op tasks
 * through Redis are 95,000 a second with 100, 97,000 with 1,000, 94,000 with 10,000 (bench: throughput).
 */
const SUBMITS_PER_FLUSH = 1000;

/** Sends the calls that wait in batches, as long as the window has room. */
export class BatchSender {
  readonly #link: RunnerLink;
  readonly #values: Values;
  readonly #waiting: Waiting;
  readonly #outstanding: Outstanding;
  readonly #choice: BatchChoice;
  readonly #onNoWorkers: () => void;
  readonly #handBacks: HandBackWatch;
  #capacity: Capacity = { workers: 0, slots: 0 };
  #nextBatch = 0;
  #submitsThisTurn = 0;
  #isFlushPlanned = false;

  constructor({ link, values, waiting, outstanding, choice, onNoWorkers }: BatchSenderOptions) {
    this.#link = link;
    this.#values = values;
    this.#waiting = waiting;
    this.#outstanding = outstanding;
    this.#choice = choice;
    this.#onNoWorkers = onNoWorkers;
    this.#handBacks = new HandBackWatch({ link, waiting, outstanding, capacity: () => this.#capacity });
  }

  /** The workers that the window is made for. */
  get capacity(): Capacity {
    return this.#capacity;
  }

  onCapacity(capacity: Capacity): void {
    this.#capacity = capacity;
    this.flush();
  }

  /** A call was submitted. */
  submitted(): void {
    if (++this.#submitsThisTurn >= SUBMITS_PER_FLUSH) this.flush();
    else this.planFlush();
  }

  planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    // Idle workers wait for the first call only until those that are submitted beside it are there.
    if (this.#outstanding.size === 0) queueMicrotask(this.#plannedFlush);
    else setImmediate(this.#plannedFlush);
  }

  /** Sends batches until the window is full. */
  flush(): void {
    this.#submitsThisTurn = 0;
    if (this.#capacity.slots === 0) {
      this.#onNoWorkers();
      return;
    }
    for (let entry = this.#waiting.nextAlone(); entry !== undefined; entry = this.#waiting.nextAlone())
      this.#sendAlone(entry);
    for (let queue = this.#waiting.next(); queue !== undefined; queue = this.#waiting.next()) {
      const entries = this.#choice.take(queue, this.#capacity);
      if (entries.length === 0) break; // The window is full.
      this.#send(entries);
    }
    this.#handBacks.start();
  }

  stop(): void {
    this.#handBacks.stop();
  }

  readonly #plannedFlush = () => {
    this.#isFlushPlanned = false;
    this.flush();
  };

  /** It has a batch for itself, also when it has waited for too long to be alone in its process. */
  #sendAlone(entry: Entry): void {
    const now = performance.now();
    entry.aloneUntil ??= aloneUntil(entry, now);
    entry.isAlone = now < entry.aloneUntil;
    this.#send([entry], entry.isAlone);
  }

  /** In one batch. Those that would make it have too many bytes wait on. */
  #send(entries: readonly Entry[], isAlone = false): void {
    const batchId = `${this.#link.runnerId}.${this.#nextBatch++}`;
    const builder = new BatchBuilder(batchId, this.#link.runnerId, this.#values);
    const sent: Entry[] = [];
    let next = 0;
    while (next < entries.length && hasRoom(builder)) {
      const entry = entries[next++] as Entry;
      const bytesBefore = builder.sizeBytes + builder.valueBytes;
      if (entry.isCancelled) continue; // It has settled, or is just about to.
      const above = entry.unfinished();
      // What it waits for could not be sent, is in a batch before, or has ended otherwise than was counted on: it is submitted when
      // it can start.
      if (above === undefined || above.some(({ batchId: its }) => its !== batchId)) continue;
      try {
        entry.addTo(builder, above);
      } catch (error) {
        // Its arguments cannot travel, or its module has no place in the project: that is this call's failure alone.
        // Later, since a runner never settles a call within its submit.
        queueMicrotask(() => entry.settle({ type: "threw", error, retriable: false }));
        continue;
      }
      entry.batchId = batchId;
      entry.blockedBy = above.length;
      entry.costMs = this.#choice.costMs(entry);
      entry.sizeBytes = builder.sizeBytes + builder.valueBytes - bytesBefore;
      sent.push(entry);
    }
    if (sent.length > 0) {
      this.#outstanding.add(batchId, sent, performance.now());
      this.#link.send(builder.batch(isAlone));
    }
    // One that waits for calls of this batch is submitted when it can start.
    if (next < entries.length)
      this.#waiting.prepend(entries.slice(next).filter((entry) => !entry.isStillForeseen));
  }
}

function hasRoom({ sizeBytes, valueBytes }: BatchBuilder): boolean {
  return sizeBytes < MOST_BATCH_BYTES && valueBytes < MOST_BATCH_VALUE_BYTES;
}
