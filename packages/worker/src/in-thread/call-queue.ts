import type { Batch, BatchCall, RawOutcome } from "@millrace/broker";
import { ChunkValues } from "./chunk-values.ts";
import type { ThreadState } from "./thread-state.ts";

/** A call, and the batch or the chunk of one that it came with. */
export interface CallOfBatch {
  readonly batch: Batch;
  readonly call: BatchCall;
}

/** A call whose turn it is. */
export interface Turn extends CallOfBatch {
  /** Counted from 0 in the order in which calls come. */
  readonly number: number;
  /** Undefined: a call that it waits for has not returned, and it cannot start. */
  readonly inputs: readonly Uint8Array[] | undefined;
}

interface Chunk {
  readonly batch: Batch;
  /** How many of its calls have had their turn. */
  turns: number;
}

interface Deferred extends CallOfBatch {
  readonly number: number;
}

/**
 * The calls that have come and not started, in their order. A call that waits for others of its chunk is behind them; if one
 * of these is still under way when its turn comes, as one that awaits a network is, it is put off until they have ended, and
 * keeps nobody from starting: what it waits for may itself wait for calls that are behind it.
 */
export class CallQueue {
  readonly #state: ThreadState;
  readonly #onDeferred: (call: number) => void;
  readonly #chunks: Chunk[] = [];
  /** Of chunks in which calls wait for others. */
  readonly #values = new WeakMap<Batch, ChunkValues>();
  #hasPassedOver = false;
  /** In the order of their turns. */
  readonly #deferred = new Set<Deferred>();
  /** Ended before their turn. */
  readonly #dropped = new Set<BatchCall>();

  /** @param onDeferred told when the call with this number is put off */
  constructor(state: ThreadState, onDeferred: (call: number) => void) {
    this.#state = state;
    this.#onDeferred = onDeferred;
  }

  /** Has every call had its turn? */
  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  accept(chunk: Batch): void {
    this.#chunks.push({ batch: chunk, turns: 0 });
    const values = ChunkValues.of(chunk);
    if (values !== undefined) this.#values.set(chunk, values);
  }

  /** The next call that may start, and that nobody has taken back or dropped. */
  next(): Turn | undefined {
    for (const deferred of this.#deferred) {
      if (!this.#isDecided(deferred)) continue;
      this.#deferred.delete(deferred);
      if (this.#mayStart(deferred)) return this.#turnOf(deferred);
    }
    for (let [chunk] = this.#chunks; chunk !== undefined; [chunk] = this.#chunks) {
      const { batch } = chunk;
      const call = batch.calls[chunk.turns++] as BatchCall;
      if (chunk.turns === batch.calls.length) this.#chunks.shift();
      const due = { batch, call, number: this.#state.start() };
      if (this.#isDecided(due)) {
        if (this.#mayStart(due)) return this.#turnOf(due);
      } else if (this.#state.isClaimed(due.number)) this.#hasPassedOver = true;
      else if (!this.#dropped.delete(call)) {
        this.#deferred.add(due);
        this.#onDeferred(due.number);
      }
    }
    return undefined;
  }

  /** Have calls been passed over, since this was last asked, because they were taken back? */
  hasPassedOver(): boolean {
    const has = this.#hasPassedOver;
    this.#hasPassedOver = false;
    return has;
  }

  /** The call has ended: what of its chunk waits for it may start, or never will. */
  ended({ batch, call }: CallOfBatch, outcome: RawOutcome): void {
    this.#values.get(batch)?.ended(call.sequence, outcome);
  }

  /** The calls of a batch that have not started. */
  waitingIn(batchId: string): CallOfBatch[] {
    const waiting: CallOfBatch[] = [...this.#deferred].filter(({ batch }) => batch.id === batchId);
    let number = this.#state.started; // Of the next call to have its turn.
    for (const { batch, turns } of this.#chunks) {
      for (const call of batch.calls.slice(turns)) {
        const isHere = !this.#state.isClaimed(number++) && !this.#dropped.has(call);
        if (isHere && batch.id === batchId) waiting.push({ batch, call });
      }
    }
    return waiting;
  }

  /** Has a call of the batch had its turn, and others not? */
  hasBegun(batchId: string): boolean {
    const [next] = this.#chunks;
    return next?.batch.id === batchId && next.turns > 0;
  }

  /** The call is not to start: it has ended otherwise. */
  drop({ call }: CallOfBatch): void {
    for (const deferred of this.#deferred) {
      if (deferred.call === call) {
        this.#deferred.delete(deferred);
        return;
      }
    }
    this.#dropped.add(call);
  }

  #isDecided({ batch, call }: CallOfBatch): boolean {
    return this.#values.get(batch)?.isDecided(call) ?? true;
  }

  #mayStart({ call, number }: Deferred): boolean {
    if (!this.#state.claim(number)) {
      this.#hasPassedOver = true; // It was taken back: another thread has it.
      return false;
    }
    return this.#dropped.size === 0 || !this.#dropped.delete(call);
  }

  #turnOf({ batch, call, number }: Deferred): Turn {
    const values = this.#values.get(batch);
    const inputs = values === undefined ? (call.inputs as readonly Uint8Array[]) : values.inputsOf(call);
    return { batch, call, number, inputs };
  }
}
