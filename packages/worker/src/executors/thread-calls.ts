import type { ThreadState } from "../in-thread/thread-state.ts";
import type { CallHolder, PendingCall } from "./pending-call.ts";

/** The calls that a thread has: which have begun, as its shared memory says, and for how long they keep it busy. */
export class ThreadCalls {
  /** In the order in which the thread starts them. */
  readonly inFlight = new Set<PendingCall>();
  readonly #holder: CallHolder;
  readonly #state: ThreadState;
  #sent = 0;
  /** Expected time of the known calls in flight that keep the thread busy. */
  #busyMs = 0;
  #unknown = 0;
  #parked = 0;

  /** @param holder the thread, as its calls know it */
  constructor(holder: CallHolder, state: ThreadState) {
    this.#holder = holder;
    this.#state = state;
  }

  /** How many the thread has got so far: the number of the next. */
  get sent(): number {
    return this.#sent;
  }

  /** Calls that keep the thread busy, or will. */
  get busyCalls(): number {
    return this.inFlight.size - this.#parked;
  }

  /** What they are expected to take; Infinity while one of them is of a new task. */
  get busyMs(): number {
    return this.#unknown > 0 ? Number.POSITIVE_INFINITY : this.#busyMs;
  }

  /** Are there calls that have not had their turn? */
  get hasWaiting(): boolean {
    return this.#sent > this.#state.started;
  }

  /** The calls that have begun, and whose end is not known. Calls begin in the order in which they came. */
  begun(): PendingCall[] {
    const begun: PendingCall[] = [];
    for (const call of this.inFlight) {
      if (call.number >= this.#state.started) break;
      if (this.hasBegun(call)) begun.push(call);
    }
    return begun;
  }

  /** Of older calls than there are claims, it is known by what they have done. */
  hasBegun({ number, isIdle, hasAsked }: PendingCall): boolean {
    return number < this.#state.started && (isIdle || hasAsked || this.#state.isClaimed(number));
  }

  /** The thread is about to get the call. */
  add(call: PendingCall): void {
    call.slot = this.#holder;
    call.number = this.#sent++;
    this.#state.offer(call.number);
    this.inFlight.add(call);
    this.#count(call, 1);
  }

  /** The thread has the call no more. */
  delete(call: PendingCall): void {
    if (!this.inFlight.delete(call)) return;
    if (call.isParked) this.#parked--;
    else this.#count(call, -1);
    if (this.inFlight.size === 0) this.#busyMs = 0; // Sums of fractions drift.
    call.leaveThread();
  }

  /** The call has asked something, and waits for the answer. */
  asked(call: PendingCall): void {
    call.hasAsked = true;
    this.#changeParked(call, () => call.unanswered++);
  }

  /** Something that the call has asked is answered. */
  answered(call: PendingCall): void {
    if (call.unanswered > 0) this.#changeParked(call, () => call.unanswered--);
  }

  /** The call awaits something, and the thread has nothing else to do. */
  idles(call: PendingCall): void {
    this.#changeParked(call, () => {
      call.isIdle = true;
    });
  }

  /** The call, of which only the number is known, waits for others that its thread has. @returns is it there? */
  deferred(number: number): boolean {
    for (const call of this.inFlight) {
      if (call.number !== number) continue;
      this.#changeParked(call, () => {
        call.isDeferred = true;
      });
      return true;
    }
    return false;
  }

  /** Takes back the calls that the thread has not started. @returns them, in their order */
  takeBack(): PendingCall[] {
    const calls: PendingCall[] = [];
    for (const call of [...this.inFlight].reverse()) {
      if (!this.#state.claim(call.number)) break; // It has started, and so have those before it.
      this.delete(call);
      calls.push(call);
    }
    return calls.reverse();
  }

  /**
   * The thread is dead. Which calls may have killed it: the one that computed, when no other ran beside it; else each
   * that had begun, but not those that waited for an answer, unless there is no other. The others run again, and so do
   * those that had ended, but whose outcome was lost.
   */
  lost(): { suspects: PendingCall[]; others: PendingCall[] } {
    const { awaiting, lastBegun } = this.#state;
    const calls = [...this.inFlight];
    this.inFlight.clear();
    const begun = calls.filter((call) => (awaiting > 0 ? this.hasBegun(call) : call.number === lastBegun));
    const active = begun.filter(({ unanswered }) => unanswered === 0);
    const suspects = active.length > 0 ? active : begun;
    const others = calls.filter((call) => !suspects.includes(call));
    for (const call of calls) call.leaveThread();
    return { suspects, others };
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
}
