import { CancelledRunError, type Outcome } from "@millrace/core";
import type { RunServices, TaskDefinition } from "@millrace/core/internal";
import type { Batch } from "../wire/batch.ts";
import type { CallValue } from "../wire/call-values.ts";
import { decodeError, type RawOutcome } from "../wire/outcomes.ts";
import type { BatchBuilder } from "./batch-builder.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Entry } from "./entries.ts";
import { taskKeyOf } from "./task-key.ts";

/** A call that has returned, and whose value was lost. */
export interface EndedCall {
  readonly batch: Batch;
  readonly task: TaskDefinition;
  readonly services: RunServices;
}

/** A call that is executed again for its value alone: its run is final, and hears nothing of it. */
export class RemadeEntry extends Entry {
  readonly #dispatcher: Dispatcher;
  readonly #ended: EndedCall;
  readonly #resolve: (value: CallValue) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    dispatcher: Dispatcher,
    sequence: number,
    ended: EndedCall,
    resolve: (value: CallValue) => void,
    reject: (error: unknown) => void,
  ) {
    super(sequence);
    this.#dispatcher = dispatcher;
    this.#ended = ended;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get taskKey(): string {
    return taskKeyOf(this.#ended.task);
  }

  get crashRetries(): number {
    return this.#ended.task.crashRetries;
  }

  get priority(): number {
    return this.#ended.task.priority;
  }

  get services(): RunServices {
    return this.#ended.services;
  }

  addTo(builder: BatchBuilder): void {
    builder.addEncoded(this.sequence, this.#ended.batch, this);
  }

  settleRaw({ kind, payload, reference }: RawOutcome): void {
    this.#end();
    if (kind === "returned") this.#resolve(reference ?? payload);
    else this.#reject(kind === "returned-state" ? new Error("It returned a state.") : decodeError(payload));
  }

  settle(outcome: Outcome): void {
    this.#end();
    this.#reject("error" in outcome ? outcome.error : new CancelledRunError("The call was cancelled."));
  }

  #end(): void {
    this.isSettled = true;
    this.#dispatcher.values.ended(this);
  }
}
