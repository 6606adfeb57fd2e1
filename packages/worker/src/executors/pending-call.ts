import {
  type Batch,
  type BatchCall,
  type CallAnswer,
  type CallInput,
  type CallOutcome,
  type EncodedReport,
  encodeReport,
  isSequence,
  type Report,
} from "@millrace/broker";

/** A batch that is being executed. */
export interface Execution {
  readonly batch: Batch;
  /** For learning durations: one key per task of the batch. */
  readonly taskKeys: readonly string[];
  /** Calls that have not ended, by their sequence. */
  readonly calls: Map<number, PendingCall>;
  readonly onReport: (report: EncodedReport, isLast: boolean) => void;
}

/** What has calls, as a thread does. */
export interface CallHolder {
  cancel(call: PendingCall): void;
  answer(call: PendingCall, answer: CallAnswer): void;
  /** The call has ended otherwise. */
  ended(call: PendingCall): void;
}

/** A call that has not ended. */
export class PendingCall {
  readonly execution: Execution;
  readonly call: BatchCall;
  /** Those of the call, when they are here. */
  args: Uint8Array;
  /** Those of the call, with the values of those calls of its batch that have returned. */
  inputs: readonly CallInput[];
  /** Those of the call that have not returned. */
  after: readonly number[];
  /** How many calls of its batch must return, and values be fetched, before it can start. */
  waitsFor = 0;
  /** Calls of its batch that wait for it. */
  dependents: PendingCall[] | undefined;
  /** The thread that has it. */
  slot: CallHolder | undefined;
  /** How many calls the slot got before this one. */
  number = 0;
  /** What it was expected to take when a thread got it. */
  expectedMs: number | undefined;
  /** What it has asked and not been answered. While there is any, the thread may run others. */
  unanswered = 0;
  /** Was it seen to await something while its thread was idle? */
  isIdle = false;
  /** Does it wait, in its thread, for calls that are under way there? */
  isDeferred = false;
  /** Was it seen that it has begun, and was this told? See StartWatch. */
  start: "unseen" | "seen" | "told" = "unseen";
  /** Has it asked anything? Then its flow's process must know when it is run again. */
  hasAsked = false;
  isCancelled = false;
  /** Has a call ended that it waits for, and not returned? Then it will not start here. */
  isBarred = false;

  constructor(execution: Execution, call: BatchCall) {
    this.execution = execution;
    this.call = call;
    this.args = call.args;
    this.inputs = call.inputs;
    this.after = call.after;
  }

  /** No thread has it any more. */
  leaveThread(): void {
    this.slot = undefined;
    this.unanswered = 0;
    this.isIdle = false;
    this.isDeferred = false;
    this.start = "unseen";
  }

  get isParked(): boolean {
    return this.unanswered > 0 || this.isIdle || this.isDeferred;
  }

  get taskKey(): string {
    return this.execution.taskKeys[this.call.task] as string;
  }

  get timeoutSeconds(): number {
    return this.execution.batch.tasks[this.call.task]!.timeoutSeconds;
  }
}

/** Takes in a batch: its calls, linked to those that wait for them. */
export function openExecution(batch: Batch, onReport: Execution["onReport"]): Execution {
  const taskKeys = batch.tasks.map(({ module, name }) => `${module}\n${name}`);
  const calls = new Map<number, PendingCall>();
  const execution: Execution = { batch, taskKeys, calls, onReport };
  for (const call of batch.calls) calls.set(call.sequence, new PendingCall(execution, call));
  for (const pending of calls.values()) {
    for (const sequence of upstreamOf(pending.call)) {
      const upstream = calls.get(sequence) as PendingCall;
      upstream.dependents ??= [];
      upstream.dependents.push(pending);
      pending.waitsFor++;
    }
  }
  return execution;
}

/** The calls of its batch whose ends a call waits for, each once. */
function upstreamOf({ inputs, after }: BatchCall): Iterable<number> {
  if (after.length === 0 && !inputs.some(isSequence)) return NONE;
  return new Set([...inputs.filter(isSequence), ...after]);
}

const NONE: readonly number[] = [];

/** The call has returned: those that waited for it get its value. @returns those that wait for nothing more */
export function fulfil({ call, dependents }: PendingCall, payload: Uint8Array): PendingCall[] {
  const ready: PendingCall[] = [];
  for (const dependent of dependents ?? []) {
    if (dependent.inputs.includes(call.sequence))
      dependent.inputs = dependent.inputs.map((input) => (input === call.sequence ? payload : input));
    if (dependent.after.length > 0)
      dependent.after = dependent.after.filter((sequence) => sequence !== call.sequence);
    if (--dependent.waitsFor === 0) ready.push(dependent);
  }
  return ready;
}

export function reportOf({ batch }: Pick<Execution, "batch">, parts: Partial<Report>): EncodedReport {
  const report: Report = {
    ...{ batchId: batch.id, outcomes: [], logs: "", requests: [], parked: [], started: [], workerId: "" },
    ...parts,
  };
  const attachments: Uint8Array[] = [];
  return { report, bytes: encodeReport(report, attachments), attachments };
}

/** The report without outcomes of calls that have been ended here. */
export function withoutStrays(encoded: EncodedReport, execution: Execution): EncodedReport {
  const { outcomes, ...rest } = encoded.report;
  const known = outcomes.filter(({ sequence }) => execution.calls.has(sequence));
  return known.length === outcomes.length ? encoded : reportOf(execution, { ...rest, outcomes: known });
}

/** Of a call that did not end here, through no fault of its own. */
export function lostOutcome(sequence: number): CallOutcome {
  return { sequence, kind: "lost", durationMicros: 0, payload: new Uint8Array() };
}

/** Of a call that is to run elsewhere, or another time. */
export function unstartedOutcome(sequence: number): CallOutcome {
  return { sequence, kind: "unstarted", durationMicros: 0, payload: new Uint8Array() };
}
