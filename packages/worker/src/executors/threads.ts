import { fileURLToPath } from "node:url";
import { WorkerStartError } from "@millrace/core";
import type { Piscina } from "piscina";
import type { ThreadStart } from "../in-thread/thread-protocol.ts";
import { threadArguments } from "../in-thread/typescript-loader.ts";
import { deathSentence } from "../process/death-sentence.ts";
import type { Overdue } from "./overdue-watch.ts";
import type { PendingCall } from "./pending-call.ts";
import { ThreadSlot } from "./thread-slot.ts";

/** `src` and `dist` are side by side: threads run the built file in both, since a thread cannot load our TypeScript. */
const THREAD_ENTRY = fileURLToPath(new URL("../../dist/in-thread/thread-bootstrap.cjs", import.meta.url));

export interface ThreadsHandlers {
  /** A thread has begun to take calls, or is to take no more. */
  readonly onChange: () => void;
  readonly onReport: (slot: ThreadSlot, bytes: Uint8Array, attachments: readonly Uint8Array[]) => void;
  /** See OnStuck. */
  readonly onStuck: (call: PendingCall, why: Overdue) => void;
  /** The thread is to get no more calls, and another takes its place: what it has not started is to be taken back. */
  readonly onLeaving: (slot: ThreadSlot) => void;
  /** The thread is dead, and another takes its place; its calls are to be recovered. */
  readonly onDied: (slot: ThreadSlot, reason: string) => void;
}

/**
 * The threads of an executor, of which there are always the same number. Piscina starts, replaces and ends them; calls do
 * not pass through its queue but through a port per thread, so that several can be on the way, and outcomes come as they
 * end. (Piscina's queue is not first in, first out, and answers once per run; one call at a time through it costs 70 to
 * 100 µs.)
 */
export class Threads {
  readonly #handlers: ThreadsHandlers;
  readonly #slots: ThreadSlot[] = [];
  /** Threads that have been replaced, and go when their calls have ended. */
  readonly #leaving = new Set<ThreadSlot>();
  #start!: Omit<ThreadStart, "port" | "state">;
  #pool: Piscina | undefined;
  #isClosed = false;

  constructor(handlers: ThreadsHandlers) {
    this.#handlers = handlers;
  }

  get slots(): readonly ThreadSlot[] {
    return this.#slots;
  }

  /** Those, and the threads that have been replaced and still have calls. */
  get all(): readonly ThreadSlot[] {
    return this.#leaving.size === 0 ? this.#slots : [...this.#slots, ...this.#leaving];
  }

  /** Starts so many threads. Resolves when one of them can work; the others come beside it. @throws WorkerStartError */
  async open(threads: number, start: Omit<ThreadStart, "port" | "state">): Promise<void> {
    this.#start = start;
    const { Piscina } = await import("piscina");
    if (this.#isClosed) return;
    const execArgv = threadArguments(process.execArgv);
    this.#pool = new Piscina({
      filename: THREAD_ENTRY,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: "disabled", // The default parks an idle thread in Atomics.wait: no timers, no sockets, no messages.
      recordTiming: false,
      ...(execArgv !== undefined && { execArgv }),
    });
    this.#pool.on("error", () => {}); // A thread that dies is seen by its resident run.
    for (let index = 0; index < threads; index++) this.#slots.push(this.#openSlot(this.#pool));
    await Promise.race(this.#slots.map((slot) => slot.ready));
  }

  /** The thread may go if it is to leave: it has no calls any more. */
  emptied(slot: ThreadSlot): void {
    if (slot.isLeaving && slot.calls.inFlight.size === 0) slot.kill.abort();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const slot of this.all) {
      slot.lost(); // Its timers go.
      slot.close();
    }
    if (this.#pool === undefined) return;
    // Piscina would replace a thread that was ended before, and exits only now: for ever, with nobody to end it.
    this.#pool.options.minThreads = 0;
    await this.#pool.destroy();
  }

  #openSlot(pool: Piscina): ThreadSlot {
    const slot: ThreadSlot = new ThreadSlot({
      onReady: () => this.#handlers.onChange(),
      onDeferred: () => this.#handlers.onChange(),
      onReport: (bytes, attachments) => this.#handlers.onReport(slot, bytes, attachments),
      onStuck: (call, why, isGuilty) => {
        this.#handlers.onStuck(call, why);
        if (isGuilty) slot.kill.abort();
      },
      onLeak: () => this.#letGo(slot, pool),
    });
    const start: ThreadStart = { ...slot.start, ...this.#start };
    pool.run(start, { transferList: [start.port], signal: slot.kill.signal }).then(
      () => this.#died(slot, pool, "The thread ended."),
      (error: unknown) => this.#died(slot, pool, deathSentence(error)),
    );
    return slot;
  }

  /** A thread has no future: another takes its place at once, since its calls may wait for calls that need one. */
  #letGo(slot: ThreadSlot, pool: Piscina): void {
    if (this.#isClosed) return;
    this.#leaving.add(slot);
    pool.options.maxThreads++;
    this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
    this.#handlers.onLeaving(slot);
    this.emptied(slot);
    this.#handlers.onChange();
  }

  #died(slot: ThreadSlot, pool: Piscina, reason: string): void {
    if (this.#isClosed) return;
    slot.receiveLast();
    slot.close();
    slot.failStart(new WorkerStartError(`Expected a worker thread to start, but it died. ${reason}`));
    if (this.#leaving.delete(slot)) pool.options.maxThreads--;
    else this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
    this.#handlers.onDied(slot, reason);
  }
}
