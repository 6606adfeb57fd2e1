import type { Entry } from "./entries.ts";
import type { BatchProgress } from "./hand-back.ts";

interface SentBatch {
  readonly entries: Set<Entry>;
  readonly isAlone: boolean;
  readonly aloneUntil: number | undefined;
  /** When it was sent, or last asked to hand calls back. */
  since: number;
  readonly expectedMs: number;
  hasReported: boolean;
  /** How often it, or what it holds, was asked to hand calls back. */
  handBacks: number;
}

/** The calls that are in the broker or with a worker, by the batches in which they travel. */
export class Outstanding {
  readonly #entries = new Map<number, Entry>();
  readonly #batches = new Map<string, SentBatch>();
  #busyMs = 0;
  #sizeBytes = 0;
  #parked = 0;
  #alone = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Calls that keep a thread busy, or will. Parked ones wait, and keep none. */
  get busyCalls(): number {
    return this.#entries.size - this.#parked;
  }

  /** What those are expected to take. */
  get busyMs(): number {
    return this.#busyMs;
  }

  /** What all take in memory, with the values that they alone need. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Is there a batch that is to run alone? */
  get hasAlone(): boolean {
    return this.#alone > 0;
  }

  get(sequence: number): Entry | undefined {
    return this.#entries.get(sequence);
  }

  /** The call, unless it has settled or was sent again: who has lost a delivery has no more say in it. */
  inBatch(batchId: string, sequence: number): Entry | undefined {
    const entry = this.#entries.get(sequence);
    return entry?.batchId === batchId ? entry : undefined;
  }

  all(): Iterable<Entry> {
    return this.#entries.values();
  }

  batchIds(): Iterable<string> {
    return this.#batches.keys();
  }

  /** The calls of a batch that have not settled. */
  of(batchId: string): Entry[] {
    return [...(this.#batches.get(batchId)?.entries ?? [])];
  }

  add(batchId: string, entries: readonly Entry[], now: number): void {
    let expectedMs = 0;
    let handBacks = 0;
    const [first] = entries;
    const isAlone = first?.isAlone === true; // Then it is the only one.
    for (const entry of entries) {
      expectedMs += entry.costMs;
      handBacks = Math.max(handBacks, entry.handBacks);
    }
    const progress = { aloneUntil: first?.aloneUntil, since: now, expectedMs, hasReported: false, handBacks };
    this.#batches.set(batchId, { entries: new Set(entries), isAlone, ...progress });
    if (isAlone) this.#alone++;
    for (const entry of entries) {
      entry.batchId = batchId;
      this.#entries.set(entry.sequence, entry);
      this.#sizeBytes += entry.sizeBytes;
      if (entry.isParked) this.#parked++;
      else this.#busyMs += entry.costMs;
    }
  }

  /** Takes a call out. @returns whether it was the last of its batch */
  remove(entry: Entry): boolean {
    const batchId = entry.batchId as string;
    entry.batchId = undefined;
    this.#entries.delete(entry.sequence);
    this.#sizeBytes -= entry.sizeBytes;
    if (entry.isParked) this.#parked--;
    else this.#busyMs -= entry.costMs;
    if (this.#entries.size === 0) this.#busyMs = 0; // Sums of fractions drift.
    entry.isIdle = false;
    entry.hasStarted = false;
    entry.blockedBy = 0;
    const { entries, isAlone } = this.#batches.get(batchId) as SentBatch;
    entries.delete(entry);
    if (entries.size > 0) return false;
    if (isAlone) this.#alone--;
    return this.#batches.delete(batchId);
  }

  /** Makes a change that may park a call, or end that. */
  changeParked(entry: Entry, change: () => void): void {
    const before = entry.isParked;
    change();
    if (entry.isParked === before || entry.batchId === undefined) return;
    this.#parked += before ? -1 : 1;
    this.#busyMs += before ? entry.costMs : -entry.costMs;
  }

  /** The call awaits something while its thread is idle. */
  onParked(batchId: string, sequence: number): void {
    const entry = this.inBatch(batchId, sequence);
    if (entry === undefined) return;
    this.changeParked(entry, () => {
      entry.isIdle = true;
    });
  }

  /** The call has begun, and goes on. */
  onStarted(batchId: string, sequence: number): void {
    const entry = this.inBatch(batchId, sequence);
    if (entry !== undefined) entry.hasStarted = true;
  }

  /** The call has returned: those of its batch that wait for it may start now. */
  onReturned(batchId: string, { dependents }: Entry): void {
    if (dependents === undefined) return;
    for (const dependent of dependents)
      if (dependent.batchId === batchId)
        this.changeParked(dependent, () => {
          dependent.blockedBy--;
        });
  }

  /** What is known of each batch, for deciding which of them should hand calls back. */
  *batches(): Iterable<BatchProgress> {
    for (const [id, { entries, ...progress }] of this.#batches) {
      yield { id, ...progress, busyCalls: () => countBusy(entries) };
    }
  }

  /** The batch was asked to hand back what has not started. */
  asked(batchId: string, now: number): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) return;
    batch.since = now;
    batch.handBacks++;
    for (const entry of batch.entries) entry.handBacks++;
  }

  reported(batchId: string): void {
    const batch = this.#batches.get(batchId);
    if (batch !== undefined) batch.hasReported = true;
  }

  takeAll(): Entry[] {
    const all = [...this.#entries.values()];
    this.#entries.clear();
    this.#batches.clear();
    this.#alone = 0;
    this.#busyMs = 0;
    this.#sizeBytes = 0;
    this.#parked = 0;
    for (const entry of all) entry.batchId = undefined;
    return all;
  }
}

function countBusy(entries: Iterable<Entry>): number {
  let busy = 0;
  for (const entry of entries) if (!entry.isParked) busy++;
  return busy;
}
