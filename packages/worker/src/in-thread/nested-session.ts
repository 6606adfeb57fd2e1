import { BatchBuilder, decodeOutcome, MOST_LOSSES, type RawOutcome, toOutcome } from "@millrace/broker";
import type { Call, RunnerSession } from "@millrace/core";
import { EncodedValue } from "@millrace/core/internal";
import type { Answered, RunningCall } from "./running-call.ts";

/**
 * The task runner for tasks that a task calls in a worker: the calls are executed by the whole cluster, on behalf of
 * the flow's process, whose dispatcher they go to.
 */
export class NestedSession implements RunnerSession {
  readonly #parent: RunningCall;
  readonly #cancelled = new WeakSet<Call>();

  constructor(parent: RunningCall) {
    this.#parent = parent;
  }

  submit(call: Call): void {
    this.#submit(call, 0);
  }

  /** @param losses how often a value that it needs, or has returned, was lost */
  #submit(call: Call, losses: number): void {
    const { values } = this.#parent;
    const builder = new BatchBuilder("nested", "", values);
    try {
      builder.add(0, call);
    } catch (error) {
      queueMicrotask(() => call.settle({ type: "threw", error, retriable: false }));
      return;
    }
    const { crashRetries, priority, queue = "" } = call.task;
    const batch = builder.batch();
    const request = {
      type: "submit",
      crashRetries,
      priority,
      queue,
      batch: { ...batch, tasks: this.#withEntry(batch.tasks) },
    } as const;
    const id = this.#parent.ask(request, (answer) => {
      const outcome = readOutcome(answer);
      if (outcome instanceof Error) call.settle({ type: "crashed", error: outcome });
      else if (outcome.kind === "value-lost" && this.#cancelled.has(call)) call.settle({ type: "cancelled" });
      else if (outcome.kind === "value-lost" && losses < MOST_LOSSES) {
        values.lose(batch);
        this.#submit(call, losses + 1); // It is made again; nobody has seen it.
      } else {
        const settled = toOutcome(outcome);
        if (answer.isKept && settled.type === "returned" && settled.value instanceof EncodedValue)
          values.returned(settled.value, id);
        call.settle(settled);
      }
    });
    call.ticket = id;
  }

  cancel(call: Call): boolean {
    this.#cancelled.add(call);
    if (typeof call.ticket === "number") this.#parent.tell({ type: "cancel", id: call.ticket });
    return true;
  }

  async close(): Promise<void> {}

  /** A task that a factory makes is found through the entry module of the flow's process, not of this one. */
  #withEntry<Reference extends object>(references: readonly Reference[]): readonly Reference[] {
    const { entry } = this.#parent.batch.tasks[this.#parent.call.task] ?? {};
    return references.map((reference) => ({ ...reference, entry }));
  }
}

/** Never throws: an answer that cannot be read would end the thread, and all its calls with it. */
function readOutcome(answer: Answered): RawOutcome | Error {
  try {
    return decodeOutcome(answer);
  } catch (error) {
    return error as Error;
  }
}
