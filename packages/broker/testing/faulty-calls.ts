/** The calls of batches that a FaultyCluster plays: what they do is planned, and how far they are is all that there is of them. */
import { encode } from "@millrace/core/internal";
import { type Batch, type BatchCall, isSequence } from "../src/wire/batch.ts";
import type { RawOutcome } from "../src/wire/outcomes.ts";
import type { CallOutcome, OutcomeKind, Report } from "../src/wire/report.ts";
import type { Request } from "../src/wire/requests.ts";

/** What a death ends. */
export type Death = "thread" | "worker";

/** What the function of a call does next. */
export type CallStep =
  | { readonly type: "returns"; readonly value: unknown }
  | { readonly type: "throws"; readonly error: Error }
  | { readonly type: "dies"; readonly with: Death }
  /** With a number of its own for each request. */
  | { readonly type: "asks"; readonly request: Request; readonly isAwaited: boolean };

/** What calls do: plans, since nothing is executed. */
export interface Program {
  next(call: CallInWorker, args: readonly unknown[]): CallStep;
  /** A call may be why its thread or worker has died; when it was alone, nothing else can be. */
  onDeath(call: CallInWorker, wasAlone: boolean): void;
}

export interface CallInWorker {
  readonly call: BatchCall;
  readonly taskRunId: string;
  /** How many requests it has made. */
  readonly asked: number;
  readonly answers: ReadonlyMap<number, RawOutcome>;
}

export interface HeldCall extends CallInWorker {
  state: "waits" | "runs" | "ended";
  isCancelled: boolean;
  /** Was the runner told that it has begun? */
  isTold: boolean;
  /** Does it await something, as the runner was told? */
  isIdle: boolean;
  /** Does it go on when it is answered, and not before? */
  isAwaiting: boolean;
  asked: number;
  readonly answers: Map<number, RawOutcome>;
  /** What it has returned. */
  value: Uint8Array | undefined;
}

/** A batch in a worker. */
export interface Delivery {
  readonly batch: Batch;
  readonly calls: ReadonlyMap<number, HeldCall>;
  /** Outcomes that no report has told. */
  readonly unsent: CallOutcome[];
}

export type Worker = Set<Delivery>;

export interface Place {
  readonly worker: Worker;
  readonly delivery: Delivery;
  readonly held: HeldCall;
}

export function places(worker: Worker): Place[] {
  return [...worker].flatMap((delivery) =>
    [...delivery.calls.values()].map((held) => ({ worker, delivery, held })),
  );
}

export function deliveryOf(batch: Batch): Delivery {
  const calls = batch.calls.map((call) => [call.sequence, heldCall(batch, call)] as const);
  return { batch, calls: new Map(calls), unsent: [] };
}

function heldCall({ contexts }: Batch, call: BatchCall): HeldCall {
  return {
    ...{ call, taskRunId: `${contexts[call.context]?.scopeId}-${call.number}` },
    ...{ state: "waits", isCancelled: false, isTold: false, isIdle: false, isAwaiting: false },
    ...{ asked: 0, answers: new Map(), value: undefined },
  };
}

export const isUnanswered = ({ asked, answers }: HeldCall) => asked > answers.size;
export const isParked = (held: HeldCall) => held.isIdle || isUnanswered(held);
export const canProceed = ({ held }: Place) => held.isCancelled || !held.isAwaiting || !isUnanswered(held);

function upstreamOf({ inputs, after }: BatchCall): readonly number[] {
  return [...inputs.filter(isSequence), ...after];
}

export function isReady({ calls }: Delivery, { call, state }: HeldCall): boolean {
  return state === "waits" && upstreamOf(call).every((sequence) => calls.get(sequence)?.value !== undefined);
}

/** What waits for a call that does not return will not start. */
export function endCall(delivery: Delivery, held: HeldCall, kind: OutcomeKind, value?: unknown): true {
  const { sequence } = held.call;
  const payload = encode(value);
  held.state = "ended";
  const durationMicros = 100 * 10 ** (sequence % 3); // What is long and short is for the dispatcher to learn.
  delivery.unsent.push({ sequence, kind, durationMicros, payload });
  if (kind === "returned") held.value = payload;
  else {
    for (const other of delivery.calls.values())
      if (other.state === "waits" && upstreamOf(other.call).includes(sequence))
        endCall(delivery, other, "unstarted");
  }
  return true;
}

export function reportOf(batchId: string, parts: Partial<Report>): Report {
  return { batchId, outcomes: [], logs: "", requests: [], parked: [], started: [], workerId: "", ...parts };
}
