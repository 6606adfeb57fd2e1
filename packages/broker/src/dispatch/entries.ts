import type { Call, Outcome, UpstreamRun } from "@millrace/core";
import type { RunServices } from "@millrace/core/internal";
import type { GivenValues } from "../values/given-values.ts";
import { type KeptValue, StoredValue, type ValueUser } from "../values/kept-value.ts";
import { type RawOutcome, toOutcome } from "../wire/outcomes.ts";
import type { BatchBuilder } from "./batch-builder.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { NestedEntry } from "./nested-entry.ts";
import { producerOf } from "./producer.ts";
import type { SeenNumbers } from "./seen-numbers.ts";
import { taskKeyOf } from "./task-key.ts";

/** A call that the dispatcher answers for, until it has settled. */
export abstract class Entry implements ValueUser {
  /** The dispatcher's number for it. */
  sequence: number;
  /** How often a thread or process died that ran this call and no other. */
  crashes = 0;
  /** How often one died that ran this call and others. */
  suspicions = 0;
  /** How often its batch was lost with a worker, and others were suspected rather than it, or nobody. */
  losses = 0;
  /** Is it to run while its worker's process computes nothing else? */
  isAlone = false;
  /** Until when, if it has not begun by then; undefined: it has not been sent so. */
  aloneUntil: number | undefined;
  /** Has its worker said that it has begun? */
  hasStarted = false;
  batchId: string | undefined;
  costMs = 0;
  /** What it takes in memory where it was sent, with the values that it alone needs. */
  sizeBytes = 0;
  /** Was it seen to await something while its thread was idle? */
  isIdle = false;
  /** For how many calls of its batch it waits. */
  blockedBy = 0;
  /** How often a worker was asked to hand it back, if it has not started. */
  handBacks = 0;
  isCancelled = false;
  isSettled = false;
  /** Foreseen calls that wait for this one. */
  dependents: LocalEntry[] | undefined;
  /** What the call has asked for and not got, or holds: set with its first request. */
  nested: Nested | undefined;
  /** Large values that are kept for it until it has settled. */
  needs: Set<KeptValue> | undefined;

  constructor(sequence: number) {
    this.sequence = sequence;
  }

  /** What its duration is learned under. */
  abstract get taskKey(): string;
  abstract get crashRetries(): number;
  abstract get priority(): number;
  /** Of the run that made the call. */
  abstract get services(): RunServices;
  /** @param above what it waits for, which the batch has already. @throws when the call cannot travel */
  abstract addTo(builder: BatchBuilder, above: readonly LocalEntry[]): void;
  abstract settleRaw(outcome: RawOutcome): void;
  abstract settle(outcome: Outcome): void;

  /** Does it wait, for another call, for an answer to what it has asked, or for a network? Then it keeps no thread busy. */
  get isParked(): boolean {
    return this.blockedBy > 0 || this.isIdle || this.isAwaitingAnswer;
  }

  get isAwaitingAnswer(): boolean {
    return this.nested !== undefined && this.nested.unanswered > 0;
  }

  /** Does nobody wait for its outcome yet? */
  get isStillForeseen(): boolean {
    return false;
  }

  /**
   * How many calls a foreseen call waits for that have not returned; undefined when it cannot go along, whatever these do, and of
   * any other call. It is counted, and not looked for: a sum of N calls is asked with each of their batches, and walking its
   * inputs each time was 42 looks per call at N = 40,000, and twice as many at twice that.
   */
  get waitsFor(): number | undefined {
    return undefined;
  }

  /** The calls that it waits for and that have not ended; undefined when it will not run, or cannot go along with them. */
  unfinished(): readonly LocalEntry[] | undefined {
    return NONE;
  }
}

/** What a running call has asked of the flow's process. */
export interface Nested {
  /** The numbers of its requests that ask for an answer. */
  readonly requests: SeenNumbers;
  /** Requests that wait for their answer. */
  unanswered: number;
  /** Calls that it has submitted, by the number of the request. */
  readonly calls: Map<number, NestedEntry>;
  /** Slots, claims and waits for them, by the number of the request: each with what ends it. */
  readonly resources: Map<number, () => void>;
  /** Large values that it gives to its calls, and that these have returned: it may be fetching them until it ends. */
  readonly given: GivenValues;
}

/** A call of a run in this process. */
export class LocalEntry extends Entry {
  readonly call: Call;
  readonly taskKey: string;
  readonly dispatcher: Dispatcher;
  /** False: the call is foreseen, and its run still waits for others. */
  isSubmitted: boolean;
  /** What a foreseen call waits for. */
  readonly upstream: readonly UpstreamRun[];
  /** How many of those are calls that have not returned. */
  unreturned = 0;
  /** How it ended, when its run does not know yet that it could start. */
  early: Outcome | undefined;

  constructor(dispatcher: Dispatcher, sequence: number, call: Call, upstream?: readonly UpstreamRun[]) {
    super(sequence);
    this.dispatcher = dispatcher;
    this.call = call;
    this.taskKey = taskKeyOf(call.task);
    this.upstream = upstream ?? NONE;
    this.isSubmitted = upstream === undefined;
  }

  get crashRetries(): number {
    return this.call.task.crashRetries;
  }

  get priority(): number {
    return this.call.task.priority;
  }

  get services(): RunServices {
    return this.call.scope.owner.services;
  }

  override get isStillForeseen(): boolean {
    return !this.isSubmitted && !this.isCancelled;
  }

  override get waitsFor(): number | undefined {
    const isOver = this.isSubmitted || this.isSettled || this.isCancelled;
    return isOver || this.batchId !== undefined ? undefined : this.unreturned;
  }

  override unfinished(): readonly LocalEntry[] | undefined {
    if (this.isSubmitted) return NONE;
    const unfinished: LocalEntry[] = [];
    for (const run of this.upstream) {
      if (run.isFinal()) {
        if (!run.lets(false)) return undefined;
      } else if (run.ticket instanceof LocalEntry) unfinished.push(run.ticket);
      else return undefined; // It is about to be final: its value is kept just now, or it is tried again later.
    }
    return unfinished;
  }

  addTo(builder: BatchBuilder, above: readonly LocalEntry[]): void {
    builder.add(this.sequence, this.call, above, this);
  }

  settleRaw(outcome: RawOutcome): void {
    const { reference } = outcome;
    const { values } = this.dispatcher;
    if (reference === undefined) this.settle(toOutcome(outcome));
    else this.settle({ type: "returned", value: values.hold(values.returned(reference)) });
  }

  settle(outcome: Outcome): void {
    this.isSettled = true;
    if (this.needs !== undefined) this.dispatcher.values.ended(this);
    if (this.isSubmitted || this.isCancelled) this.deliver(outcome);
    else this.early = outcome;
  }

  /** Tells the run, which knows by now all that the call needed. */
  deliver(outcome: Outcome): void {
    if (outcome.type === "returned") {
      this.call.ticket = undefined; // The run may be kept for long.
      for (const dependent of this.dependents ?? NONE) dependent.unreturned--;
      if (outcome.value instanceof StoredValue) outcome.value.kept.source = producerOf(this);
    }
    this.call.settle(outcome);
  }
}

const NONE: readonly never[] = [];
