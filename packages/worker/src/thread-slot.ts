import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type Batch, type CallAnswer, encodeBatch } from "@millrace/broker";
import { decode } from "@millrace/core/internal";
import type { PendingCall } from "./pending-call.ts";
import { type FromThread, KILL_GRACE_MS, type ThreadStart, type ToThread } from "./thread-protocol.ts";
import { monotonicMs, ThreadState } from "./thread-state.ts";

export type Overdue = "timed-out" | "cancelled";

export interface SlotHandlers {
  /** It takes calls: it has started, or has passed over those that were taken back. */
  readonly onReady: () => void;
  /** A call waits, and keeps the thread from nothing. */
  readonly onDeferred: () => void;
  readonly onReport: (bytes: Uint8Array, attachments: readonly Uint8Array[]) => void;
  /**
   * The call should have ended, and the thread, which computes, has not heard of it. `isGuilty`: it is the call itself that
   * computes, as far as one can tell, and not another beside it.
   */
  readonly onStuck: (call: PendingCall, why: Overdue, isGuilty: boolean) => void;
  /** A function of a call that has ended goes on: the thread is to get no more calls, and to go when it has none. */
  readonly onLeak: () => void;
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
  /** It gets no more calls. */
  isLeaving = false;
  /** How many reports have come. */
  reports = 0;
  failStart!: (error: Error) => void;
  readonly #handlers: SlotHandlers;
  readonly #state = new ThreadState();
  #receive!: (message: FromThread) => void;
  #sent = 0;
  /** Expected time of the known calls in flight that keep the thread busy. */
  #busyMs = 0;
  #unknown = 0;
  #parked = 0;
  /** It has been longer about a call than was expected, and has not reported since. */
  #isSlow = false;
  /** Calls with lower numbers have been taken back, or handed over before those. */
  #takenBackBelow = 0;
  /** It has died, or the executor has closed: nothing is looked at any more. */
  #isOver = false;
  /** How many messages the thread was sent. */
  #told = 0;
  #limitTimer: NodeJS.Timeout | undefined;
  #leavingTimer: NodeJS.Timeout | undefined;
  /** Calls that should have ended, each with the timer of the next look at it. */
  readonly #overdue = new Map<PendingCall, NodeJS.Timeout>();
  /** Functions that go on though their calls have ended, by the number of the call. */
  readonly #goingOn = new Map<number, NodeJS.Timeout>();

  constructor(handlers: SlotHandlers) {
    this.#handlers = handlers;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.start = { port: port2, state: this.#state.buffer };
    this.ready = new Promise((resolve, reject) => {
      this.failStart = reject;
      this.#receive = (message) => {
        if (message instanceof Uint8Array) handlers.onReport(message, NO_ATTACHMENTS);
        else if (message.type === "report") handlers.onReport(message.bytes, message.attachments);
        else if (message.type === "failed") reject(decode(message.error));
        else if (message.type === "goes-on") this.#goesOn(message.call);
        else if (message.type === "ended") this.#hasEnded(message.call);
        else if (message.type === "passed-over") handlers.onReady();
        else if (message.type === "deferred") this.#isDeferred(message.call);
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
    return this.isReady && !this.isLeaving;
  }

  /**
   * Is it to get no more for now? It is longer about a call than was expected; or it has not passed over those that were taken
   * back, which stand before what it would get: calls would go to and fro, and a claim be used twice.
   */
  get isStuck(): boolean {
    return this.#isSlow || this.#state.started < this.#takenBackBelow;
  }

  /** Calls that keep the thread busy, or will. */
  get busyCalls(): number {
    return this.inFlight.size - this.#parked;
  }

  /** What they are expected to take; Infinity while one of them is of a new task. */
  get busyMs(): number {
    return this.#unknown > 0 ? Number.POSITIVE_INFINITY : this.#busyMs;
  }

  /** Does it have calls that have not had their turn? */
  get hasWaiting(): boolean {
    return this.#sent > this.#state.started;
  }

  /** The calls that have begun, and whose end is not known. Calls begin in the order in which they came. */
  begun(): PendingCall[] {
    const begun: PendingCall[] = [];
    for (const call of this.inFlight) {
      if (call.number >= this.#state.started) break;
      if (this.#hasBegun(call)) begun.push(call);
    }
    return begun;
  }

  /** Hands calls of a batch to the thread, each behind those of them that it waits for. */
  send(batch: Batch, calls: readonly PendingCall[]): void {
    for (const call of calls) {
      call.slot = this;
      call.number = this.#sent++;
      this.#state.offer(call.number);
      this.inFlight.add(call);
      this.#count(call, 1);
    }
    const chunk = calls.map(({ call, args, inputs, after }) =>
      args === call.args && inputs === call.inputs && after === call.after
        ? call
        : { ...call, args, argsReference: undefined, inputs, after },
    );
    const attachments: Uint8Array[] = [];
    const bytes = new Uint8Array(encodeBatch({ ...batch, calls: chunk }, attachments)); // A copy, and cloned: see thread-entry.ts.
    this.#tell(attachments.length === 0 ? bytes : { type: "chunk", bytes, attachments });
    if (batch.tasks.some(({ timeoutSeconds }) => timeoutSeconds > 0)) this.#watchLimits();
  }

  reported(): void {
    this.reports++;
    this.#isSlow = false;
  }

  ended(call: PendingCall): void {
    if (!this.inFlight.delete(call)) return;
    if (call.isParked) this.#parked--;
    else this.#count(call, -1);
    if (this.inFlight.size === 0) this.#busyMs = 0; // Sums of fractions drift.
    if (this.#overdue.size > 0) {
      clearTimeout(this.#overdue.get(call));
      this.#overdue.delete(call);
    }
    call.slot = undefined;
    call.start = "unseen";
  }

  /** The call has asked something, and waits for the answer. */
  asked(call: PendingCall): void {
    call.hasAsked = true;
    this.#changeParked(call, () => call.unanswered++);
  }

  /** The call awaits something, and the thread has nothing else to do. */
  idles(call: PendingCall): void {
    this.#changeParked(call, () => {
      call.isIdle = true;
    });
  }

  /** The call, of which only the number is known, waits for others that its thread has. */
  #isDeferred(number: number): void {
    for (const call of this.inFlight) {
      if (call.number !== number) continue;
      this.#changeParked(call, () => {
        call.isDeferred = true;
      });
      this.#handlers.onDeferred();
    }
  }

  answer(call: PendingCall, answer: CallAnswer): void {
    if (call.unanswered > 0) this.#changeParked(call, () => call.unanswered--);
    this.#tell({ type: "answer", ...answer });
  }

  /** Asks for the end of a call that the thread has. */
  cancel(call: PendingCall): void {
    const { batch } = call.execution;
    this.#tell({ type: "cancel", batchId: batch.id, sequence: call.call.sequence });
    this.#expectEnd(call, "cancelled");
  }

  /** Takes back the calls that the thread has not started, in their order. It is longer about the others than it should be. */
  takeBack(): PendingCall[] {
    const calls: PendingCall[] = [];
    for (const call of [...this.inFlight].reverse()) {
      if (!this.#state.claim(call.number)) break; // It has started, and so have those before it.
      this.ended(call);
      calls.push(call);
    }
    this.#takenBackBelow = this.#sent;
    this.#isSlow = this.busyCalls > 0;
    return calls.reverse();
  }

  /** Takes in what a thread that has died sent before: its end may be known before its last words. */
  receiveLast(): void {
    this.#receiveAll();
    this.isReady = false;
  }

  #receiveAll(): void {
    for (
      let next = receiveMessageOnPort(this.port);
      next !== undefined;
      next = receiveMessageOnPort(this.port)
    )
      this.#receive(next.message as FromThread);
  }

  /**
   * The thread is dead. Which calls may have killed it: the one that computed, when no other ran beside it; else each
   * that had begun, but not those that waited for an answer, unless there is no other. The others run again, and so do
   * those that had ended, but whose outcome was lost.
   */
  lost(): { suspects: PendingCall[]; others: PendingCall[] } {
    this.#isOver = true;
    for (const timer of [this.#limitTimer, this.#leavingTimer]) clearTimeout(timer);
    for (const timers of [this.#overdue, this.#goingOn])
      for (const timer of timers.values()) clearTimeout(timer);
    const { awaiting, lastBegun } = this.#state;
    const calls = [...this.inFlight];
    this.inFlight.clear();
    const begun = calls.filter((call) => (awaiting > 0 ? this.#hasBegun(call) : call.number === lastBegun));
    const active = begun.filter(({ unanswered }) => unanswered === 0);
    const suspects = active.length > 0 ? active : begun;
    const others = calls.filter((call) => !suspects.includes(call));
    for (const call of calls) {
      call.slot = undefined;
      call.unanswered = 0;
      call.isIdle = false;
      call.isDeferred = false;
      call.start = "unseen";
    }
    return { suspects, others };
  }

  /** Of older calls than there are claims, it is known by what they have done. */
  #hasBegun({ number, isIdle, hasAsked }: PendingCall): boolean {
    return number < this.#state.started && (isIdle || hasAsked || this.#state.isClaimed(number));
  }

  #changeParked(call: PendingCall, change: () => void): void {
    const before = call.isParked;
    change();
    const after = call.isParked;
    if (before === after) return;
    this.#parked += after ? 1 : -1;
    this.#count(call, after ? -1 : 1);
  }

  #count({ expectedMs }: PendingCall, by: 1 | -1): void {
    if (expectedMs === undefined) this.#unknown += by;
    else this.#busyMs += by * expectedMs;
  }

  #tell(message: ToThread): void {
    this.#told++;
    this.port.postMessage(message);
  }

  // ---- What is over and goes on ----------------------------------------------------------------------------------

  /** The thread was told, or knows by its own clock, that the call is to end. Looks whether it had a chance to do so. */
  #expectEnd(call: PendingCall, why: Overdue, told = this.#told): void {
    const look = () => {
      const { heard } = this.#state;
      this.#overdue.delete(call);
      if (heard >= told) {
        // The thread does what it can: the call may wait for the ends of its own calls.
        this.#tell({ type: "ping" });
        this.#expectEnd(call, why);
      } else if (this.#hasBegun(call)) this.#handlers.onStuck(call, why, call.unanswered === 0);
      else this.#expectEnd(call, why, told); // Another call computes, and this one is behind it.
    };
    clearTimeout(this.#overdue.get(call));
    this.#overdue.set(call, setTimeout(look, KILL_GRACE_MS));
  }

  #goesOn(call: number): void {
    if (this.#isOver) return; // A message may still come after the port was closed.
    const onLate = () => {
      this.#receiveAll(); // Our own event loop may be late, and the timer before the message.
      if (this.#goingOn.delete(call) && !this.isLeaving && !this.#isOver) this.#leave();
    };
    this.#goingOn.set(call, setTimeout(onLate, KILL_GRACE_MS));
  }

  #hasEnded(call: number): void {
    clearTimeout(this.#goingOn.get(call));
    this.#goingOn.delete(call);
  }

  /** Its other calls may end; but when what goes on does not let them, they run elsewhere. */
  #leave(): void {
    this.isLeaving = true;
    const look = () => {
      if (this.#state.heard < told) this.kill.abort();
      else this.#leavingTimer = setTimeout(look, KILL_GRACE_MS);
      this.#tell({ type: "ping" });
      told = this.#told;
    };
    this.#tell({ type: "ping" });
    let told = this.#told;
    this.#leavingTimer = setTimeout(look, KILL_GRACE_MS);
    this.#handlers.onLeak();
  }

  /** Looks when the next limit should have ended its call; as long as the thread has calls with one. */
  #watchLimits(): void {
    if (this.#limitTimer !== undefined) return;
    const { limit } = this.#state;
    const leftMs = limit === undefined ? KILL_GRACE_MS : limit.endsAt - monotonicMs();
    // Often enough for a shorter limit, of a call that has begun since.
    const waitMs = leftMs > 0 ? Math.min(leftMs, KILL_GRACE_MS) : KILL_GRACE_MS;
    this.#limitTimer = setTimeout(() => {
      this.#limitTimer = undefined;
      const { limit: now } = this.#state;
      const isOver = now !== undefined && monotonicMs() >= now.endsAt;
      const call = isOver ? [...this.inFlight].find(({ number }) => number === now.call) : undefined;
      if (call !== undefined && !this.#overdue.has(call)) {
        this.#tell({ type: "ping" });
        this.#expectEnd(call, "timed-out");
      }
      if ([...this.inFlight].some(hasLimit)) this.#watchLimits();
    }, waitMs);
  }
}

const NO_ATTACHMENTS: readonly Uint8Array[] = [];

function hasLimit({ timeoutSeconds }: PendingCall): boolean {
  return timeoutSeconds > 0;
}
