import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { FromThread, ToThread } from "../in-thread/thread-protocol.ts";
import type { ThreadState } from "../in-thread/thread-state.ts";

/** What is said to a thread, what it says, and whether it hears. */
export class ThreadPort {
  /** The end that the thread gets. */
  readonly far: MessagePort;
  readonly #near: MessagePort;
  readonly #state: ThreadState;
  readonly #onMessage: (message: FromThread) => void;
  /** How many messages the thread was sent. */
  #told = 0;

  constructor(state: ThreadState, onMessage: (message: FromThread) => void) {
    const { port1, port2 } = new MessageChannel();
    this.#near = port1;
    this.far = port2;
    this.#state = state;
    this.#onMessage = onMessage;
    port1.on("message", onMessage);
  }

  /** @returns what `hasHeard` wants to know */
  tell(message: ToThread): number {
    this.#told++;
    this.#near.postMessage(message);
    return this.#told;
  }

  /** Says what the thread needs only to hear. @returns what `hasHeard` wants to know */
  ping(): number {
    return this.tell({ type: "ping" });
  }

  /** Has the thread dealt with that message, and those before it? One that computes deals with none. */
  hasHeard(told: number): boolean {
    return this.#state.heard >= told;
  }

  /** Takes in now what has come and waits for a turn of the event loop. */
  receiveAll(): void {
    for (
      let next = receiveMessageOnPort(this.#near);
      next !== undefined;
      next = receiveMessageOnPort(this.#near)
    )
      this.#onMessage(next.message as FromThread);
  }

  close(): void {
    this.#near.close();
  }
}
