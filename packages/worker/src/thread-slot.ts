import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import {
  type Batch,
  type BatchCall,
  type CallAnswer,
  type EncodedReport,
  encodeBatch,
} from "@millrace/broker";
import { decode } from "@millrace/core/internal";
import { type FromThread, KILL_GRACE_MS, type ThreadStart, type ToThread } from "./thread-protocol.ts";
import { monotonicMs, ThreadState } from "./thread-state.ts";

/** A batch that is being executed. */
export interface Execution {
  readonly batch: Batch;
  /** For learning durations: one key per task of the batch. */
  readonly taskKeys: readonly string[];
  /** Calls that have not ended, by their sequence. */
  readonly calls: Map<number, PendingCall>;
  readonly onReport: (report: EncodedReport, isLast: boolean) => void;
}

export interface PendingCall {
  readonly execution: Execution;
  readonly call: BatchCall;
  /** The thread that has it. */
  slot: ThreadSlot | undefined;
  /** How many calls the slot got before this one. */
  number: number;
  /** What it was expected to take when a thread got it. */
  expectedMs: number | undefined;
  /** What it has asked and not been answered. While there is any, the thread may run others. */
  unanswered: number;
  /** Has it asked anything? Then its flow's process must know when it is run again. */
  hasAsked: boolean;
}

export interface SlotHandlers {
  readonly onReady: () => void;
  readonly onReport: (bytes: Uint8Array) => void;
  /** The call goes on past its time limit, or past a request to end it, and does not let the thread do anything else. */
  readonly onStuck: (call: PendingCall, why: "timed-out" | "cancelled") => void;
}

/** One thread, and the calls that it has. */
export class ThreadSlot {
  readonly port: MessagePort;
  readonly start: Pick<ThreadStart, "port" | "state">;
  readonly ready: Promise<void>;
  /** In the order in which the thread starts them. */
  readonly inFlight = new Set<PendingCall>();
  /** Ends the thread. */
  readonly kill = new AbortController();
  isReady = false;
  /** A function of an ended call goes on in the thread: it gets no more calls, and is replaced when it has none. */
  isLeaking = false;
  failStart!: (error: Error) => void;
  readonly #handlers: SlotHandlers;
  readonly #state = new ThreadState();
  #receive!: (message: FromThread) => void;
  #sent = 0;
  /** Expected time of the known calls in flight that keep the thread busy. */
  #busyMs = 0;
  #unknown = 0;
  #parked = 0;
  #limitTimer: NodeJS.Timeout | undefined;
  readonly #cancelTimers = new Map<PendingCall, NodeJS.Timeout>();

  constructor(handlers: SlotHandlers) {
    this.#handlers = handlers;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.start = { port: port2, state: this.#state.buffer };
    this.ready = new Promise((resolve, reject) => {
      this.failStart = reject;
      this.#receive = (message) => {
        if (message instanceof Uint8Array) handlers.onReport(message);
        else if (message.type === "failed") reject(decode(message.error));
        else if (message.type === "leaking") this.isLeaking = true;
        else {
          this.isReady = true;
          resolve();
          handlers.onReady();
        }
      };
      port1.on("message", this.#receive);
    });
    this.ready.catch(() => {});
  }

  /** May it get calls? */
  get isOpen(): boolean {
    return this.isReady && !this.isLeaking;
  }

  /** Calls that keep the thread busy, or will. */
  get busyCalls(): number {
    return this.inFlight.size - this.#parked;
  }

  /** What they are expected to take; Infinity while one of them is of a new task. */
  get busyMs(): number {
    return this.#unknown > 0 ? Number.POSITIVE_INFINITY : this.#busyMs;
  }

  send(chunk: Batch, calls: readonly PendingCall[]): void {
    for (const call of calls) {
      call.slot = this;
      call.number = this.#sent++;
      this.inFlight.add(call);
      this.#count(call, 1);
    }
    const bytes = new Uint8Array(encodeBatch(chunk)); // See thread-entry.ts: only a copy can be handed over.
    this.port.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
    if (chunk.tasks.some(({ timeoutSeconds }) => timeoutSeconds > 0)) this.#watchLimits();
  }

  ended(call: PendingCall): void {
    if (!this.inFlight.delete(call)) return;
    if (call.unanswered > 0) this.#parked--;
    else this.#count(call, -1);
    if (this.inFlight.size === 0) this.#busyMs = 0; // Sums of fractions drift.
    clearTimeout(this.#cancelTimers.get(call));
    this.#cancelTimers.delete(call);
    call.slot = undefined;
  }

  /** The call has asked something, and waits for the answer. */
  asked(call: PendingCall): void {
    call.hasAsked = true;
    if (call.unanswered++ > 0) return;
    this.#parked++;
    this.#count(call, -1);
  }

  answer(call: PendingCall, answer: CallAnswer): void {
    if (call.unanswered > 0 && --call.unanswered === 0) {
      this.#parked--;
      this.#count(call, 1);
    }
    this.#tell({ type: "answer", ...answer });
  }

  /** Asks for the end of a call that the thread has. */
  cancel(call: PendingCall): void {
    const { batch } = call.execution;
    this.#tell({ type: "cancel", batchId: batch.id, sequence: call.call.sequence });
    // Only a call that runs can be what keeps the thread from hearing of it.
    const onLate = () => {
      if (this.#state.started > call.number) this.#handlers.onStuck(call, "cancelled");
    };
    this.#cancelTimers.set(call, setTimeout(onLate, KILL_GRACE_MS));
  }

  /** Takes in what a thread that has died sent before: its end may be known before its last words. */
  receiveLast(): void {
    for (
      let last = receiveMessageOnPort(this.port);
      last !== undefined;
      last = receiveMessageOnPort(this.port)
    )
      this.#receive(last.message as FromThread);
    this.isReady = false;
  }

  /**
   * The thread is dead. Which calls may have killed it: the one that computed, when no other ran beside it; else each
   * that had begun, but not those that waited for an answer, unless there is no other. The others run again, and so do
   * those that had ended, but whose outcome was lost.
   */
  lost(): { suspects: PendingCall[]; others: PendingCall[] } {
    clearTimeout(this.#limitTimer);
    for (const timer of this.#cancelTimers.values()) clearTimeout(timer);
    const { started, awaiting } = this.#state;
    const calls = [...this.inFlight];
    this.inFlight.clear();
    const begun = calls.filter(({ number }) => (awaiting > 0 ? number < started : number === started - 1));
    const active = begun.filter(({ unanswered }) => unanswered === 0);
    const suspects = active.length > 0 ? active : begun;
    const others = calls.filter((call) => !suspects.includes(call));
    for (const call of calls) {
      call.slot = undefined;
      call.unanswered = 0;
    }
    return { suspects, others };
  }

  #count({ expectedMs }: PendingCall, by: 1 | -1): void {
    if (expectedMs === undefined) this.#unknown += by;
    else this.#busyMs += by * expectedMs;
  }

  #tell(message: ToThread): void {
    this.port.postMessage(message);
  }

  /** Looks when the next limit should have ended its call; as long as the thread has calls with one. */
  #watchLimits(): void {
    if (this.#limitTimer !== undefined) return;
    const { limit } = this.#state;
    const leftMs = limit === undefined ? 0 : limit.endsAt - monotonicMs();
    this.#limitTimer = setTimeout(() => {
      this.#limitTimer = undefined;
      const { limit: now } = this.#state;
      const isOver = now !== undefined && monotonicMs() >= now.endsAt + KILL_GRACE_MS;
      const call = isOver ? [...this.inFlight].find(({ number }) => number === now.call) : undefined;
      if (call !== undefined) this.#handlers.onStuck(call, "timed-out");
      else if ([...this.inFlight].some(hasLimit)) this.#watchLimits();
    }, leftMs + KILL_GRACE_MS);
  }
}

function hasLimit({ execution, call }: PendingCall): boolean {
  return execution.batch.tasks[call.task]!.timeoutSeconds > 0;
}
