import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ValueLostError } from "@millrace/core";
import { type DistantValue, WholeInput } from "@millrace/core/internal";
import { LEAVE_MS } from "../intervals.ts";
import {
  type CallValue,
  INLINE_LIMIT_BYTES,
  inSharedMemory,
  type ValueReference,
} from "../wire/call-values.ts";
import { KeptValue, keptIn, type Producer, StoredValue, type ValueUser } from "./kept-value.ts";
import { checkFits, type ValueStore } from "./value-store.ts";

/** Puts large values of calls where their workers find them. */
export interface PlacesValues {
  /**
   * What is sent for these bytes. Large ones are stored once for each `owner`: what they are the form of.
   *
   * @param user the call that is sent; undefined: none is, it is only noted what would be
   * @param isHeld whether they may be needed after it has ended: as long as the owner is
   * @throws NotEncodableError when so many bytes cannot be kept
   */
  place(owner: object, bytes: Uint8Array, user: ValueUser | undefined, isHeld: boolean): CallValue;
  /** What is sent for a value that is kept already; undefined when the calls could not read it there. */
  forward(value: DistantValue, user: ValueUser | undefined): CallValue | undefined;
}

/** How often a value that was just made again may be gone before it counts as one that cannot be kept. */
export const MOST_LOSSES = 3;

/**
 * The large values of one dispatcher: what its calls are given, and what they return. It puts into the store what calls need,
 * takes out what nobody needs, and makes again what the store has lost. A value is needed as long as a call that needs
 * it has not ended, or somebody holds it; for a result that is whoever holds the run's value, as the garbage collector
 * tells. See docs/adr/0006-values-by-reference.md.
 */
export class Values implements PlacesValues {
  readonly #runnerId: string;
  /** Undefined: workers are in this process, and are handed the bytes. */
  readonly #store: ValueStore | undefined;
  /** What was kept of bytes, by what they are the form of. */
  readonly #byOwner = new WeakMap<object, KeptValue>();
  readonly #collected = new FinalizationRegistry<KeptValue>((kept) => kept.release());
  readonly #loading = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(runnerId: string, store: ValueStore | undefined) {
    this.#runnerId = runnerId;
    this.#store = store;
  }

  /** May calls of this dispatcher be given the value by reference? */
  forwards(value: DistantValue): value is StoredValue {
    const realm = this.#store?.realm;
    return value instanceof StoredValue && realm !== undefined && value.kept.values.#store?.realm === realm;
  }

  forward(value: DistantValue, user: ValueUser | undefined): KeptValue | undefined {
    return this.forwards(value) ? this.need(value.kept, user) : undefined;
  }

  place(owner: object, bytes: Uint8Array, user: ValueUser | undefined, isHeld: boolean): CallValue {
    if (bytes.length <= INLINE_LIMIT_BYTES) return bytes;
    if (this.#store === undefined) return inSharedMemory(bytes);
    this.checkFits("an argument", bytes.length);
    let kept = this.#byOwner.get(owner);
    if (kept === undefined) {
      kept = new KeptValue(this, this.#newReference(bytes), false, bytes);
      kept.isHeld = isHeld;
      this.#byOwner.set(owner, kept);
      if (owner instanceof WholeInput) owner.onUnneeded(() => kept?.release());
      else if (isHeld) this.#collected.register(owner, kept);
    }
    return this.need(kept, user);
  }

  /** @throws NotEncodableError when so many bytes cannot be kept */
  checkFits(what: string, sizeBytes: number): void {
    if (this.#store !== undefined) checkFits(this.#store, what, sizeBytes);
  }

  /** Notes that a call needs the value, which is stored if it can be at once. */
  need(kept: KeptValue, user: ValueUser | undefined): KeptValue {
    if (user === undefined) return kept;
    user.needs ??= new Set();
    if (!user.needs.has(kept)) {
      user.needs.add(kept);
      kept.users++;
    }
    if (!kept.isStored && kept.source instanceof Uint8Array) kept.values.#put(kept, kept.source);
    return kept;
  }

  /** Takes in what a call has returned. */
  returned(reference: ValueReference): KeptValue {
    return new KeptValue(this, reference, true);
  }

  /** The same, for a run of this process: it is kept as long as the value is held. */
  hold(kept: KeptValue): StoredValue {
    const value = new StoredValue(kept);
    this.#collected.register(value, kept);
    return value;
  }

  /** Nobody wants what a call has returned: another delivery of it was quicker. */
  discard(reference: ValueReference): void {
    if (!this.#isClosed) this.#store?.remove(reference);
  }

  /** The call has ended. */
  ended(user: ValueUser): void {
    const { needs } = user;
    user.needs = undefined;
    if (needs === undefined) return;
    for (const kept of needs) {
      kept.users--;
      kept.values.freeIfUnneeded(kept);
    }
  }

  freeIfUnneeded(kept: KeptValue): void {
    if (kept.users > 0 || kept.isHeld || !kept.isStored || this.#isClosed) return;
    kept.isStored = false;
    this.#store?.remove(kept);
  }

  /** @throws ValueLostError, and what the store throws */
  load(kept: KeptValue): Promise<Uint8Array> {
    const loading = this.#load(kept);
    const ended: Promise<boolean> = loading.then(
      () => this.#loading.delete(ended),
      () => this.#loading.delete(ended),
    );
    this.#loading.add(ended);
    return loading;
  }

  async #load(kept: KeptValue): Promise<Uint8Array> {
    const user: ValueUser = { needs: undefined };
    this.need(kept, user);
    try {
      for (let losses = 0; losses < MOST_LOSSES && !this.#isClosed; losses++) {
        if (!kept.isStored) await this.remake(kept);
        const { id } = kept;
        const bytes = await this.#store?.read(kept);
        if (bytes !== undefined) return bytes;
        if (kept.id === id) kept.isStored = false; // Else it has been made again meanwhile.
      }
      throw new ValueLostError(kept.sizeBytes, this.#isClosed ? ENDED : `it was lost ${MOST_LOSSES} times`);
    } finally {
      this.ended(user);
    }
  }

  /** A call did not find the value: it is put where it can. @throws ValueLostError */
  restore(kept: KeptValue): Promise<void> {
    if (kept.remaking === undefined) kept.isStored = false;
    return this.remake(kept);
  }

  /** Sees that a value is stored again. @throws ValueLostError */
  remake(kept: KeptValue): Promise<void> {
    kept.remaking ??= this.#remake(kept).finally(() => {
      kept.remaking = undefined;
    });
    return kept.remaking;
  }

  /** What somebody asked for in time still comes, unless it takes long: it goes with the runner. */
  async close(): Promise<void> {
    if (this.#loading.size > 0) {
      const patience = new AbortController();
      const tooLong = sleep(LEAVE_MS, undefined, { signal: patience.signal }).catch(() => {});
      await Promise.race([Promise.all(this.#loading), tooLong]);
      patience.abort();
    }
    this.#isClosed = true;
  }

  async #remake(kept: KeptValue): Promise<void> {
    const { source } = kept;
    if (kept.isStored) return;
    if (this.#isClosed || source === undefined) {
      const why = this.#isClosed ? ENDED : "the call that made it is not known any more";
      throw new ValueLostError(kept.sizeBytes, why);
    }
    const value = source instanceof Uint8Array ? source : await this.#runAgain(kept, source);
    if (value instanceof Uint8Array) this.#put(kept, value);
    else {
      kept.id = value.id;
      kept.sizeBytes = value.sizeBytes;
      kept.isStored = true;
    }
  }

  /** What it needs may have been freed long ago: that is made first, and so on upstream. */
  async #runAgain(kept: KeptValue, { batch, run }: Producer): Promise<CallValue> {
    const user: ValueUser = { needs: undefined };
    for (const needed of keptIn(batch)) this.need(needed, user);
    try {
      for (const needed of user.needs ?? []) if (!needed.isStored) await needed.values.remake(needed);
      return await run();
    } catch (error) {
      const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      throw new ValueLostError(kept.sizeBytes, why, { cause: error });
    } finally {
      this.ended(user);
    }
  }

  #put(kept: KeptValue, bytes: Uint8Array): void {
    kept.id = this.#newReference(bytes).id;
    kept.sizeBytes = bytes.length;
    kept.source ??= bytes;
    kept.isStored = true;
    // Who then does not find it says so, and it is put there again.
    this.#store?.write(kept, bytes).catch(() => {});
  }

  #newReference(bytes: Uint8Array): ValueReference {
    return { runnerId: this.#runnerId, id: randomUUID(), sizeBytes: bytes.length };
  }
}

const ENDED = "its flow run has ended";
