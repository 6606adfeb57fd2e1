import type { TaskDefinition } from "@millrace/core/internal";
import { Signal } from "../signal.ts";
import { IdleWatch } from "./idle-watch.ts";
import type { Outbox } from "./outbox.ts";
import type { RunningCall } from "./running-call.ts";
import type { RunningCalls } from "./running-calls.ts";
import { WaitingTasks } from "./waiting-tasks.ts";

/** Tells when a call that awaits something leaves room for another beside it. */
export class RoomWatch {
  readonly #mostCalls: number;
  readonly #running: RunningCalls;
  readonly #outbox: Outbox;
  readonly #idleWatch = new IdleWatch();
  readonly #waitingTasks = new WaitingTasks<TaskDefinition>();
  readonly #fewer = new Signal();

  /** @param mostCalls how many may be under way at once: those that wait for answers not counted */
  constructor(mostCalls: number, running: RunningCalls, outbox: Outbox) {
    this.#mostCalls = mostCalls;
    this.#running = running;
    this.#outbox = outbox;
  }

  /** Resolves when the call, which awaits something, leaves room: the event loop is idle, and not too many are under way. */
  async waits(running: RunningCall, task: TaskDefinition): Promise<void> {
    if (this.#waitingTasks.has(task)) await new Promise(setImmediate);
    else await new Promise<void>((resolve) => this.#idleWatch.watch(resolve));
    while (this.#running.areAsMany(this.#mostCalls)) await this.#fewer.wait();
    if (this.#running.has(running)) this.#outbox.parked(running.batch.id, running.call.sequence);
  }

  /** Another may start already, for whatever reason: nobody wants to know more of the call that was asked about. */
  stop(): void {
    this.#idleWatch.stop();
  }

  /** A call of the task has ended: it took so long, and kept the event loop busy for so much of it. */
  observe(task: TaskDefinition, wallMs: number, busyMs: number): void {
    this.#waitingTasks.observe(task, wallMs, busyMs);
  }

  /** A call that was under way has ended, or waits for an answer. */
  fewer(): void {
    this.#fewer.fire();
  }
}
