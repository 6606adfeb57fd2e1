import { type Batch, type CallAnswer, encodeBatch } from "@millrace/broker";
import { decode } from "@millrace/core/internal";
import type { FromThread, ThreadStart } from "../in-thread/thread-protocol.ts";
import { ThreadState } from "../in-thread/thread-state.ts";
import { type LeakHandlers, LeakWatch } from "./leak-watch.ts";
import { type OnStuck, OverdueWatch } from "./overdue-watch.ts";
import type { CallHolder, PendingCall } from "./pending-call.ts";
import { ThreadCalls } from "./thread-calls.ts";
import { ThreadPort } from "./thread-port.ts";

export interface SlotHandlers {
  /** It takes calls: it has started, or has passed over those that were taken back. */
  readonly onReady: () => void;
  /** A call waits, and keeps the thread from nothing. */
  readonly onDeferred: () => void;
  readonly onReport: (bytes: Uint8Array, attachments: readonly Uint8Array[]) => void;
  readonly onStuck: OnStuck;
  readonly onLeak: LeakHandlers["onLeak"];
}

/** One thread: whether it takes calls, and what is said between it and the executor about those that it has. */
export class ThreadSlot implements CallHolder {
  readonly start: Pick<ThreadStart, "port" | "state">;
  readonly ready: Promise<void>;
  readonly calls: ThreadCalls;
  /** Ends the thread. */
  readonly kill = new AbortController();
  /** How many reports have come. */
  reports = 0;
  failStart!: (error: Error) => void;
  readonly #handlers: SlotHandlers;
  readonly #state = new ThreadState();
  readonly #port: ThreadPort;
  readonly #overdue: OverdueWatch;
  readonly #leaks: LeakWatch;
  #resolveReady!: () => void;
  #isReady = false;
  /** It has been longer about a call than was expected, and has not reported since. */
  #isSlow = false;
  /** Calls with lower numbers have been taken back, or handed over before those. */
  #takenBackBelow = 0;

  constructor(handlers: SlotHandlers) {
    this.#handlers = handlers;
    this.#port = new ThreadPort(this.#state, (message) => this.#receive(message));
    this.start = { port: this.#port.far, state: this.#state.buffer };
    this.calls = new ThreadCalls(this, this.#state);
    this.#overdue = new OverdueWatch(this.#port, this.#state, this.calls, handlers.onStuck);
    this.#leaks = new LeakWatch(this.#port, {
      onLeak: handlers.onLeak,
      onBlocked: () => this.kill.abort(),
    });
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.failStart = reject;
    });
    this.ready.catch(() => {});
  }

  /** May it get calls? */
  get isOpen(): boolean {
    return this.#isReady && !this.isLeaving;
  }

  /** It gets no more calls. */
  get isLeaving(): boolean {
    return this.#leaks.hasLeak;
  }

  /**
   * Is it to get no more for now? It is longer about a call than was expected; or it has not passed over those that were taken
   * back, which stand before what it would get: calls would go to and fro, and a claim be used twice.
   */
  get isStuck(): boolean {
    return this.#isSlow || this.#state.started < this.#takenBackBelow;
  }

  /** Hands calls of a batch to the thread, each behind those of them that it waits for. */
  send(batch: Batch, calls: readonly PendingCall[]): void {
    for (const call of calls) this.calls.add(call);
    const chunk = calls.map(({ call, args, inputs, after }) =>
      args === call.args && inputs === call.inputs && after === call.after
        ? call
        : { ...call, args, argsReference: undefined, inputs, after },
    );
    const attachments: Uint8Array[] = [];
    const bytes = new Uint8Array(encodeBatch({ ...batch, calls: chunk }, attachments)); // A copy, and cloned: see thread-entry.ts.
    this.#port.tell(attachments.length === 0 ? bytes : { type: "chunk", bytes, attachments });
    if (batch.tasks.some(({ timeoutSeconds }) => timeoutSeconds > 0)) this.#overdue.watchLimits();
  }

  reported(): void {
    this.reports++;
    this.#isSlow = false;
  }

  ended(call: PendingCall): void {
    this.calls.delete(call);
    this.#overdue.forget(call);
  }

  answer(call: PendingCall, answer: CallAnswer): void {
    this.calls.answered(call);
    // A copy: the memory in which it was encoded, or came, would be cloned whole, which took 5 ms of each answer beside 60 KB calls.
    this.#port.tell({ type: "answer", ...answer, body: new Uint8Array(answer.body) });
  }

  /** Asks for the end of a call that the thread has. */
  cancel(call: PendingCall): void {
    const { batch } = call.execution;
    const told = this.#port.tell({ type: "cancel", batchId: batch.id, sequence: call.call.sequence });
    this.#overdue.expectEnd(call, "cancelled", told);
  }

  /** Takes back the calls that the thread has not started, in their order. It is longer about the others than it should be. */
  takeBack(): PendingCall[] {
    const calls = this.calls.takeBack();
    for (const call of calls) this.#overdue.forget(call);
    this.#takenBackBelow = this.calls.sent;
    this.#isSlow = this.calls.busyCalls > 0;
    return calls;
  }

  /** Takes in what a thread that has died sent before: its end may be known before its last words. */
  receiveLast(): void {
    this.#port.receiveAll();
    this.#isReady = false;
  }

  /** Nothing is said any more. */
  close(): void {
    this.#port.close();
  }

  /** The thread is dead, and is watched no more: see ThreadCalls.lost. */
  lost(): { suspects: PendingCall[]; others: PendingCall[] } {
    this.#overdue.stop();
    this.#leaks.stop();
    return this.calls.lost();
  }

  #receive(message: FromThread): void {
    if (message instanceof Uint8Array) this.#handlers.onReport(message, NO_ATTACHMENTS);
    else if (message.type === "report") this.#handlers.onReport(message.bytes, message.attachments);
    else if (message.type === "failed") this.failStart(decode(message.error) as Error);
    else if (message.type === "goes-on") this.#leaks.goesOn(message.call);
    else if (message.type === "ended") this.#leaks.ended(message.call);
    else if (message.type === "passed-over") this.#handlers.onReady();
    else if (message.type === "deferred") {
      if (this.calls.deferred(message.call)) this.#handlers.onDeferred();
    } else {
      this.#isReady = true;
      this.#resolveReady();
      this.#handlers.onReady();
    }
  }
}

const NO_ATTACHMENTS: readonly Uint8Array[] = [];
