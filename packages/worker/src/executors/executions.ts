import type { Batch, CallOutcome, EncodedReport } from "@millrace/broker";
import { encode } from "@millrace/core/internal";
import { type Execution, fulfil, openExecution, type PendingCall, reportOf } from "./pending-call.ts";

/** The batches that are being executed, and the reports on their calls: each call ends once, and may set others free. */
export class Executions {
  readonly #byBatch = new Map<string, Execution>();
  readonly #onReady: (pending: PendingCall) => void;

  /** @param onReady told of each call that waits for nothing more, since those that it waited for have returned */
  constructor(onReady: (pending: PendingCall) => void) {
    this.#onReady = onReady;
  }

  get isEmpty(): boolean {
    return this.#byBatch.size === 0;
  }

  open(batch: Batch, onReport: Execution["onReport"]): Execution {
    const execution = openExecution(batch, onReport);
    this.#byBatch.set(batch.id, execution);
    return execution;
  }

  find(batchId: string): Execution | undefined {
    return this.#byBatch.get(batchId);
  }

  /**
   * Passes on a report. The calls whose outcomes it has, all of them calls that have not ended, have ended now.
   *
   * @param onEnded told when they have, and before the report goes on its way
   */
  forward(execution: Execution, encoded: EncodedReport, onEnded?: () => void): void {
    /** What waits for calls that have not returned: their runs may be tried again, so this is not the place to decide. */
    const unstarted = new Set<PendingCall>();
    for (const { sequence, kind, payload } of encoded.report.outcomes) {
      const pending = execution.calls.get(sequence) as PendingCall;
      execution.calls.delete(sequence);
      if (pending.dependents === undefined) continue;
      const next = kind === "returned" ? fulfil(pending, payload) : pending.dependents;
      for (const dependent of next) {
        if (kind !== "returned") dependent.isBarred = true;
        if (dependent.slot !== undefined) continue; // It is with its thread already, which knows, unless it comes back.
        if (kind === "returned") this.#onReady(dependent);
        else unstarted.add(dependent);
      }
    }
    const isLast = execution.calls.size === 0 && this.#byBatch.delete(execution.batch.id);
    onEnded?.();
    execution.onReport(encoded, isLast);
    this.end([...unstarted], "unstarted");
  }

  /** Reports that calls have begun, and go on. */
  tellStarted(calls: readonly PendingCall[]): void {
    for (const execution of new Set(calls.map(({ execution }) => execution))) {
      const own = calls.filter((pending) => pending.execution === execution);
      const started = own.map(({ call }) => call.sequence);
      execution.onReport(reportOf(execution, { started }), false);
    }
  }

  /** Ends calls that no thread will end; those that have ended are left out. */
  end(calls: readonly PendingCall[], kind: CallOutcome["kind"], why?: Error | Uint8Array): void {
    const payload = why instanceof Error ? encode(why) : (why ?? new Uint8Array());
    for (const execution of new Set(calls.map(({ execution }) => execution))) {
      const outcomes = calls
        .filter((pending) => pending.execution === execution && execution.calls.has(pending.call.sequence))
        .map(({ call }) => ({ sequence: call.sequence, kind, durationMicros: 0, payload }));
      if (outcomes.length > 0) this.forward(execution, reportOf(execution, { outcomes }));
    }
  }

  /** Ends all calls that are left: nothing of them runs any more. */
  close(): void {
    const left = [...this.#byBatch.values()].flatMap(({ calls }) => [...calls.values()]);
    this.end(
      left.filter(({ isCancelled }) => isCancelled),
      "cancelled",
    );
    this.end(left, "lost");
    this.#byBatch.clear();
  }
}
