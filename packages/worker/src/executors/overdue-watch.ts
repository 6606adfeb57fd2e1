import { KILL_GRACE_MS } from "../in-thread/thread-protocol.ts";
import { monotonicMs, type ThreadState } from "../in-thread/thread-state.ts";
import type { PendingCall } from "./pending-call.ts";
import type { ThreadCalls } from "./thread-calls.ts";
import type { ThreadPort } from "./thread-port.ts";

export type Overdue = "timed-out" | "cancelled";

/**
 * The call should have ended, and the thread, which computes, has not heard of it. `isGuilty`: it is the call itself that
 * computes, as far as one can tell, and not another beside it.
 */
export type OnStuck = (call: PendingCall, why: Overdue, isGuilty: boolean) => void;

/** Sees which calls of a thread should have ended, being cancelled or out of time, and do not since the thread computes. */
export class OverdueWatch {
  readonly #port: ThreadPort;
  readonly #state: ThreadState;
  readonly #calls: ThreadCalls;
  readonly #onStuck: OnStuck;
  #limitTimer: NodeJS.Timeout | undefined;
  /** Calls that should have ended, each with the timer of the next look at it. */
  readonly #overdue = new Map<PendingCall, NodeJS.Timeout>();

  constructor(port: ThreadPort, state: ThreadState, calls: ThreadCalls, onStuck: OnStuck) {
    this.#port = port;
    this.#state = state;
    this.#calls = calls;
    this.#onStuck = onStuck;
  }

  /** Looks when the next limit should have ended its call; as long as the thread has calls with one. */
  watchLimits(): void {
    if (this.#limitTimer !== undefined) return;
    const { limit } = this.#state;
    const leftMs = limit === undefined ? KILL_GRACE_MS : limit.endsAt - monotonicMs();
    // Often enough for a shorter limit, of a call that has begun since.
    const waitMs = leftMs > 0 ? Math.min(leftMs, KILL_GRACE_MS) : KILL_GRACE_MS;
    this.#limitTimer = setTimeout(() => {
      this.#limitTimer = undefined;
      const { limit: now } = this.#state;
      const isOver = now !== undefined && monotonicMs() >= now.endsAt;
      const { inFlight } = this.#calls;
      const call = isOver ? [...inFlight].find(({ number }) => number === now.call) : undefined;
      if (call !== undefined && !this.#overdue.has(call))
        this.expectEnd(call, "timed-out", this.#port.ping());
      if ([...inFlight].some(hasLimit)) this.watchLimits();
    }, waitMs);
  }

  /**
   * The thread was told, or knows by its own clock, that the call is to end. Looks whether it had a chance to do so.
   *
   * @param told the message that the thread must have heard: see ThreadPort
   */
  expectEnd(call: PendingCall, why: Overdue, told: number): void {
    const look = () => {
      const hasHeard = this.#port.hasHeard(told);
      this.#overdue.delete(call);
      // When it has, the thread does what it can: the call may wait for the ends of its own calls.
      if (hasHeard) this.expectEnd(call, why, this.#port.ping());
      else if (this.#calls.hasBegun(call)) this.#onStuck(call, why, call.unanswered === 0);
      else this.expectEnd(call, why, told); // Another call computes, and this one is behind it.
    };
    clearTimeout(this.#overdue.get(call));
    this.#overdue.set(call, setTimeout(look, KILL_GRACE_MS));
  }

  /** The thread has the call no more. */
  forget(call: PendingCall): void {
    if (this.#overdue.size === 0) return;
    clearTimeout(this.#overdue.get(call));
    this.#overdue.delete(call);
  }

  stop(): void {
    clearTimeout(this.#limitTimer);
    for (const timer of this.#overdue.values()) clearTimeout(timer);
  }
}

function hasLimit({ timeoutSeconds }: PendingCall): boolean {
  return timeoutSeconds > 0;
}
