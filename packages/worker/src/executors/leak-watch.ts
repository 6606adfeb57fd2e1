import { KILL_GRACE_MS } from "../in-thread/thread-protocol.ts";
import type { ThreadPort } from "./thread-port.ts";

export interface LeakHandlers {
  /** A function of a call that has ended goes on: the thread is to get no more calls, and to go when it has none. */
  readonly onLeak: () => void;
  /** What goes on does not let the thread's other calls end. */
  readonly onBlocked: () => void;
}

/** Watches the functions in a thread that go on though their calls have ended. */
export class LeakWatch {
  readonly #port: ThreadPort;
  readonly #handlers: LeakHandlers;
  /** By the number of the call. */
  readonly #goingOn = new Map<number, NodeJS.Timeout>();
  #hasLeak = false;
  #leavingTimer: NodeJS.Timeout | undefined;
  /** The thread has died, or the executor has closed: nothing is looked at any more. */
  #isOver = false;

  constructor(port: ThreadPort, handlers: LeakHandlers) {
    this.#port = port;
    this.#handlers = handlers;
  }

  /** Has a function gone on for too long? */
  get hasLeak(): boolean {
    return this.#hasLeak;
  }

  /** The call with this number has ended, and its function goes on. */
  goesOn(call: number): void {
    if (this.#isOver) return; // A message may still come after the port was closed.
    const onLate = () => {
      this.#port.receiveAll(); // Our own event loop may be late, and the timer before the message.
      if (this.#goingOn.delete(call) && !this.#hasLeak && !this.#isOver) this.#leave();
    };
    this.#goingOn.set(call, setTimeout(onLate, KILL_GRACE_MS));
  }

  /** Now its function has ended. */
  ended(call: number): void {
    clearTimeout(this.#goingOn.get(call));
    this.#goingOn.delete(call);
  }

  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#leavingTimer);
    for (const timer of this.#goingOn.values()) clearTimeout(timer);
  }

  /** The thread's other calls may end; but when what goes on does not let them, they run elsewhere. */
  #leave(): void {
    this.#hasLeak = true;
    let told = this.#port.ping();
    const look = () => {
      if (this.#port.hasHeard(told)) this.#leavingTimer = setTimeout(look, KILL_GRACE_MS);
      else this.#handlers.onBlocked();
      told = this.#port.ping();
    };
    this.#leavingTimer = setTimeout(look, KILL_GRACE_MS);
    this.#handlers.onLeak();
  }
}
