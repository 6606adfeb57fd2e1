import { DecodeError, NotEncodableError } from "@millrace/core";
import { processLogger } from "@millrace/core/internal";
import type { RunnerLink } from "../broker.ts";
import { GivenValues, isGiven, resultId } from "../values/given-values.ts";
import { keptIn } from "../values/kept-value.ts";
import type { Batch } from "../wire/batch.ts";
import { isReference } from "../wire/call-values.ts";
import { encodeError } from "../wire/outcomes.ts";
import type { CallRequest, Report } from "../wire/report.ts";
import { decodeRequest, encodeOutcome, encodeServiceAnswer, type Request } from "../wire/requests.ts";
import type { CallAnswer } from "../wire/worker-messages.ts";
import { isGivenUp } from "./blame.ts";
import { serveRequest } from "./call-services.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Entry, Nested } from "./entries.ts";
import { NestedEntry } from "./nested-entry.ts";
import type { Outstanding } from "./outstanding.ts";
import { SeenNumbers } from "./seen-numbers.ts";

export interface NestedCallsOptions {
  readonly dispatcher: Dispatcher;
  readonly outstanding: Outstanding;
  /** Gives the dispatcher of the flow run for another queue. Left out: calls of all queues go to this one. */
  readonly laneOf: ((queue: string) => Promise<Dispatcher>) | undefined;
}

interface CrashRecord extends Pick<Entry, "crashes" | "suspicions" | "losses" | "isAlone"> {
  readonly error: Error;
}

type Answer = (answered: Pick<CallAnswer, "body" | "value">) => void;

/** What running calls ask of the flow's process: to run calls of theirs, and services. See docs/adr/0004-nested-calls.md. */
export class NestedCalls {
  readonly #dispatcher: Dispatcher;
  readonly #outstanding: Outstanding;
  readonly #laneOf: NestedCallsOptions["laneOf"];
  /**
   * What has become of calls of calls, by task run id. When such a call kills the process in which the one that made it waits,
   * that one is run again and makes it again; it must not start from 0 each time, nor among others.
   */
  readonly #records = new Map<string, CrashRecord>();

  constructor({ dispatcher, outstanding, laneOf }: NestedCallsOptions) {
    this.#dispatcher = dispatcher;
    this.#outstanding = outstanding;
    this.#laneOf = laneOf;
  }

  onRequest(
    link: RunnerLink,
    { batchId, workerId }: Report,
    { sequence, id, body, given }: CallRequest,
  ): void {
    const entry = this.#outstanding.inBatch(batchId, sequence);
    if (entry === undefined) {
      // It has ended meanwhile.
      for (const { value } of given) if (isReference(value)) this.#dispatcher.values.discard(value);
      return;
    }
    let request: Request;
    try {
      request = decodeRequest(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      processLogger().error({ err: error }, "a request of a call could not be read and was refused");
      // Whoever waits for the answer is not to wait for ever.
      const body = encodeServiceAnswer({ error: encodeError(error) });
      if (id > 0) link.answer(workerId, { batchId, sequence, id, body });
      return;
    }
    entry.nested ??= {
      ...{ requests: new SeenNumbers(), unanswered: 0 },
      ...{ calls: new Map(), resources: new Map() },
      given: new GivenValues(this.#dispatcher.values),
    };
    const { nested } = entry;
    if (request.type === "cancel") {
      nested.resources.get(request.id)?.();
      const call = nested.calls.get(request.id);
      if (call !== undefined) (call.lane ?? this.#dispatcher).cancelEntry(call);
      return;
    }
    if (request.type === "release") {
      nested.given.release(request.given);
      return;
    }
    // A report comes twice when its connection broke before Redis could say that it has it, and late when Redis has refused it at first.
    if (id > 0 && !nested.requests.add(id)) return;
    for (const value of given) nested.given.add(value);
    if (id > 0) this.#outstanding.changeParked(entry, () => nested.unanswered++);
    const answer: Answer = (answered) => {
      if (entry.nested !== nested) return; // The call has ended meanwhile.
      this.#outstanding.changeParked(entry, () => nested.unanswered--);
      link.answer(workerId, { batchId, sequence, id, ...answered });
    };
    if (request.type !== "submit")
      serveRequest(id, request, entry.services, nested, (body) => answer({ body }));
    else this.#submit(entry, nested, id, request, answer);
  }

  #submit(
    parent: Entry,
    nested: Nested,
    id: number,
    request: Request & { readonly type: "submit" },
    answer: Answer,
  ): void {
    const { values } = this.#dispatcher;
    let batch: Batch;
    try {
      batch = nested.given.filled(request.batch);
    } catch (error) {
      const kind = error instanceof NotEncodableError ? "threw-for-good" : "value-lost";
      answer(encodeOutcome({ kind, payload: encodeError(error) }));
      return;
    }
    const call: NestedEntry = new NestedEntry(parent, { ...request, batch }, (outcome) => {
      nested.calls.delete(id);
      values.ended(call);
      const { reference } = outcome;
      if (reference !== undefined) {
        if (parent.nested === nested) nested.given.add({ id: resultId(id), value: reference });
        else values.discard(reference);
      }
      answer(encodeOutcome(outcome));
    });
    nested.calls.set(id, call);
    for (const kept of keptIn(batch)) values.need(kept, call); // From now on: it may wait for long.
    for (const { argsReference } of request.batch.calls)
      if (isGiven(argsReference)) nested.given.release(argsReference.id); // Arguments are of one call.
    if (request.queue === "" || this.#laneOf === undefined) this.#dispatcher.adopt(call);
    else
      this.#laneOf(request.queue).then(
        (lane) => lane.adopt(call),
        (error: Error) => call.isSettled || call.settle({ type: "crashed", error }), // It may be cancelled by now.
      );
  }

  /** Gives the call the crashes of its run. @returns why it is to be run no more, if so */
  recall(call: NestedEntry): Error | undefined {
    const known = this.#records.get(call.taskRunId);
    if (known === undefined) return undefined;
    const { error, ...record } = known;
    Object.assign(call, record);
    return isGivenUp(call) ? error : undefined;
  }

  /** A thread or process died that had the call. */
  record({ taskRunId, crashes, suspicions, losses, isAlone }: NestedEntry, error: Error): void {
    this.#records.set(taskRunId, { crashes, suspicions, losses, isAlone, error });
  }

  /** Nobody waits any more for what the call has asked for. */
  abandon(entry: Entry): void {
    if (entry.nested === undefined) return;
    const { calls, resources, given } = entry.nested;
    entry.nested = undefined; // First: nobody is answered any more.
    for (const call of calls.values()) (call.lane ?? this.#dispatcher).cancelEntry(call);
    for (const end of [...resources.values()]) end();
    given.releaseAll();
  }
}
