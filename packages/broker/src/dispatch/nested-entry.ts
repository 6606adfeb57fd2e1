import type { Outcome } from "@millrace/core";
import type { RunServices } from "@millrace/core/internal";
import type { Batch, BatchCall, TaskReference } from "../wire/batch.ts";
import { type RawOutcome, toRaw } from "../wire/outcomes.ts";
import type { Request } from "../wire/requests.ts";
import type { BatchBuilder } from "./batch-builder.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Entry } from "./entries.ts";

/** A call that a running call has made: its values stay the bytes that they are, or where they are kept. */
export class NestedEntry extends Entry {
  /** The dispatcher that has it. */
  lane: Dispatcher | undefined;
  /** That it asked for; empty: the same as that of the call that made it. */
  readonly queue: string;
  /** The same when the call that made it is run again, and makes it again. */
  readonly taskRunId: string;
  readonly #parent: Entry;
  readonly #crashRetries: number;
  readonly #priority: number;
  readonly #batch: Batch;
  readonly #answer: (outcome: RawOutcome) => void;

  /** Its number is set by the dispatcher that takes it on. */
  constructor(
    parent: Entry,
    { crashRetries, priority, queue, batch }: Request & { readonly type: "submit" },
    answer: (outcome: RawOutcome) => void,
  ) {
    super(-1);
    this.queue = queue;
    this.#parent = parent;
    this.#crashRetries = crashRetries;
    this.#priority = priority;
    const [call] = batch.calls as [BatchCall];
    this.taskRunId = `${batch.contexts[call.context]?.scopeId}-${call.number}`;
    this.#batch = batch;
    this.#answer = answer;
  }

  get taskKey(): string {
    const { tasks, calls } = this.#batch;
    const { module, name } = tasks[calls[0]?.task ?? 0] as TaskReference;
    return `${module}\n${name}`;
  }

  get crashRetries(): number {
    return this.#crashRetries;
  }

  get priority(): number {
    return this.#priority;
  }

  get services(): RunServices {
    return this.#parent.services;
  }

  addTo(builder: BatchBuilder): void {
    builder.addEncoded(this.sequence, this.#batch, this);
  }

  settleRaw(outcome: RawOutcome): void {
    this.isSettled = true;
    this.#answer(outcome);
  }

  settle(outcome: Outcome): void {
    this.settleRaw(toRaw(outcome));
  }
}
