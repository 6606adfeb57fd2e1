import { Queue } from "@millrace/core/internal";
import type { CallDurations } from "./call-durations.ts";
import { chunkOf } from "./chunk.ts";
import type { PendingCall } from "./pending-call.ts";
import { hasRoom, planChunk } from "./thread-plan.ts";
import type { ThreadSlot } from "./thread-slot.ts";
import type { Threads } from "./threads.ts";

export interface FeedHandlers {
  /** A thread has got calls. */
  readonly onSent: () => void;
  /** A thread has nothing to do, and there is nothing for it. */
  readonly onIdle: () => void;
}

/** The calls that can start and that no thread has, and which thread gets which of them. */
export class ThreadFeed {
  readonly #threads: Threads;
  /** How many threads there are, once they have started. */
  readonly #count: number;
  readonly #durations: CallDurations;
  readonly #handlers: FeedHandlers;
  readonly #ready = new Queue<PendingCall>();

  constructor(threads: Threads, count: number, durations: CallDurations, handlers: FeedHandlers) {
    this.#threads = threads;
    this.#count = count;
    this.#durations = durations;
    this.#handlers = handlers;
  }

  /** Is there no call that waits for a thread? */
  get isEmpty(): boolean {
    return this.#ready.size === 0;
  }

  add(pending: PendingCall): void {
    this.#ready.push(pending);
  }

  /** Puts calls that had their turn before ahead of the others. */
  prepend(calls: readonly PendingCall[]): void {
    this.#ready.prepend(calls);
  }

  /** Would another batch find work for a thread that is idle, or will be soon? */
  hasRoom(): boolean {
    if (this.#ready.size >= this.#count) return false;
    return this.#threads.slots.some((slot) => slot.isOpen && !slot.isStuck && hasRoom(slot.calls));
  }

  /** Hands ready calls to threads, a chunk each in turn, until each has enough. */
  feed(): void {
    // Those with the least to do first: a call should not wait behind others while a thread is idle.
    const slots = this.#threads.slots
      .filter(({ isOpen, isStuck }) => isOpen && !isStuck)
      .sort((a, b) => a.calls.busyCalls - b.calls.busyCalls);
    for (let progress = true; progress && this.#ready.size > 0; ) {
      progress = false;
      for (const slot of slots) {
        const count = planChunk({
          threads: this.#count,
          pending: this.#ready.size,
          inFlightCalls: slot.calls.busyCalls,
          inFlightMs: slot.calls.busyMs,
          expectedMs: (index) => this.#durations.expectedMs(this.#ready.at(index)),
          hasDependents: (index) => this.#ready.at(index).dependents !== undefined,
        });
        if (count > 0) progress = true;
        this.#sendChunk(slot, count);
      }
    }
    if (slots.some(({ calls }) => calls.busyCalls === 0)) this.#handlers.onIdle();
  }

  /** Sends up to `count` calls from the front of the queue that belong to one batch, and short ones that follow from them. */
  #sendChunk(slot: ThreadSlot, count: number): void {
    let taken = 0;
    while (taken < count && this.#ready.at(taken).execution === this.#ready.at(0).execution) taken++;
    const first = this.#ready.take(taken).filter(({ execution, call }) => execution.calls.has(call.sequence));
    if (first.length === 0) return;
    const calls = chunkOf(first, (pending) => this.#durations.expectedMs(pending));
    for (const pending of calls) pending.expectedMs = this.#durations.expectedMs(pending);
    slot.send(first[0]!.execution.batch, calls);
    this.#handlers.onSent();
  }
}
