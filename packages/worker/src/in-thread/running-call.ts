import {
  type Batch,
  type BatchCall,
  type CallAnswer,
  type CallContext,
  type CallRequest,
  checkPartFits,
  encodeError,
  encodeOutcome,
  encodeRequest,
  encodeServiceAnswer,
  type Request,
} from "@millrace/broker";
import type { RunnerSession } from "@millrace/core";
import type { AttemptHost, AttemptInfo, RunningAttempt, RunServices } from "@millrace/core/internal";
import { NestedSession } from "./nested-session.ts";
import { NestedValues } from "./nested-values.ts";
import { remoteServices } from "./remote-services.ts";

/** Sends a request of a call up to its flow's process. `id` 0: nobody waits for an answer. */
export type SendRequest = (call: RunningCall, asked: Omit<CallRequest, "sequence">) => void;

/** What was answered, without what says whom. */
export type Answered = Pick<CallAnswer, "body" | "value" | "isKept">;

type OnAnswer = (answer: Answered) => void;

/** A call that runs here, and what it asks of its flow's process meanwhile. */
export class RunningCall implements AttemptHost {
  readonly batch: Batch;
  readonly call: BatchCall;
  readonly inputs: readonly Uint8Array[];
  /** Set when the function has returned a promise. */
  attempt: RunningAttempt | undefined;
  /** The same by which contexts of runs inside the call know it. */
  info: AttemptInfo | undefined;
  readonly #send: SendRequest;
  #services: RunServices | undefined;
  /** That it gives to its calls. */
  readonly values = new NestedValues((given) => this.tell({ type: "release", given }));
  #asked = 0;
  #waiting: Map<number, OnAnswer> | undefined;
  #onParked: (() => void) | undefined;
  #drop: (() => void) | undefined;

  constructor(batch: Batch, call: BatchCall, inputs: readonly Uint8Array[], send: SendRequest) {
    this.batch = batch;
    this.call = call;
    this.inputs = inputs;
    this.#send = send;
  }

  get context(): CallContext {
    return this.batch.contexts[this.call.context] as CallContext;
  }

  /** Of the task run that the call is an attempt of. */
  get taskRunId(): string {
    return `${this.context.scopeId}-${this.call.number}`;
  }

  get services(): RunServices {
    this.#services ??= remoteServices(this);
    return this.#services;
  }

  openSession(): RunnerSession {
    return new NestedSession(this);
  }

  /** Resolves when the call, which has not started, is not to start any more. */
  get dropped(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#drop = () => resolve(undefined);
    });
  }

  drop(): void {
    this.#drop?.();
  }

  /** Does the call wait for an answer? Then the thread may run others. */
  get isParked(): boolean {
    return this.#waiting !== undefined && this.#waiting.size > 0;
  }

  /** Resolves when the call waits for an answer. */
  parked(): Promise<void> {
    if (this.isParked) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onParked = resolve;
    });
  }

  /**
   * Never throws: one that is too long for a message is answered here, by the error that says so.
   *
   * @returns the number of the request, by which `tell({ type: "cancel" })` names it
   */
  ask(request: Request, onAnswer: OnAnswer, mostBytes?: number): number {
    const id = ++this.#asked;
    let body: Uint8Array;
    try {
      body = checkPartFits(
        request.type === "submit" ? "arguments" : "value",
        encodeRequest(request),
        mostBytes,
      );
    } catch (error) {
      queueMicrotask(() => onAnswer(refusalOf(request, error)));
      return id;
    }
    this.#waiting ??= new Map();
    this.#waiting.set(id, onAnswer);
    this.#send(this, { id, body, given: this.values.takeOutgoing() });
    this.#onParked?.();
    this.#onParked = undefined;
    return id;
  }

  /** Says something that needs no answer. */
  tell(request: Request): void {
    this.#send(this, { id: 0, body: encodeRequest(request), given: NONE });
  }

  answered(answer: CallAnswer): void {
    const onAnswer = this.#waiting?.get(answer.id);
    if (onAnswer === undefined) return;
    this.#waiting?.delete(answer.id);
    onAnswer(answer);
  }
}

function refusalOf({ type }: Request, error: unknown): Answered {
  const payload = encodeError(error);
  return type === "submit"
    ? encodeOutcome({ kind: "threw-for-good", payload })
    : { body: encodeServiceAnswer({ error: payload }) };
}

const NONE: readonly never[] = [];
