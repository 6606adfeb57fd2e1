import { WorkerLostError } from "@millrace/core";
import type { LostBatch } from "../broker.ts";
import { decodeError, encodeError, type RawOutcome } from "../wire/outcomes.ts";
import { blame, isGivenUp } from "./blame.ts";
import type { Entry } from "./entries.ts";
import type { NestedCalls } from "./nested-calls.ts";
import { NestedEntry } from "./nested-entry.ts";
import type { Outstanding } from "./outstanding.ts";
import type { Waiting } from "./waiting.ts";

export interface LossesOptions {
  readonly waiting: Waiting;
  readonly outstanding: Outstanding;
  readonly nested: NestedCalls;
  /** Takes a call out of its batch and out of the window. */
  readonly withdraw: (entry: Entry) => void;
  /** Calls wait to be sent again. */
  readonly onWaiting: () => void;
}

/**
 * What becomes of calls that were sent and did not end: most are sent again; those end that have killed too often, were
 * cancelled meanwhile, or find nobody to run them. Who is to blame for a death: see docs/adr/0008-who-is-to-blame.md.
 */
export class Losses {
  readonly #waiting: Waiting;
  readonly #outstanding: Outstanding;
  readonly #nested: NestedCalls;
  readonly #withdraw: LossesOptions["withdraw"];
  readonly #onWaiting: LossesOptions["onWaiting"];
  readonly #restoring = new Set<Entry>();

  constructor({ waiting, outstanding, nested, withdraw, onWaiting }: LossesOptions) {
    this.#waiting = waiting;
    this.#outstanding = outstanding;
    this.#nested = nested;
    this.#withdraw = withdraw;
    this.#onWaiting = onWaiting;
  }

  /** Calls that wait for a lost value to be made again. */
  get restoring(): ReadonlySet<Entry> {
    return this.#restoring;
  }

  onLost({ batchId, reason, hasWorkerDied }: LostBatch): void {
    const calls = this.#outstanding.of(batchId);
    const { blamed, suspects, others } = hasWorkerDied
      ? blame(calls)
      : { blamed: [], suspects: [], others: calls };
    const error = new WorkerLostError(reason);
    for (const entry of blamed) this.#crashed(entry, error, true);
    for (const entry of suspects) this.#crashed(entry, error, false);
    if (hasWorkerDied) {
      for (const entry of others) {
        entry.losses++;
        if (entry instanceof NestedEntry) this.#nested.record(entry, error);
      }
    }
    this.sendAgain(others);
    this.#onWaiting();
  }

  /** The batch was taken back on behalf of some of its calls. */
  onWithdrawn(batchId: string): void {
    this.sendAgain(this.#outstanding.of(batchId));
  }

  /** The thread died that had the call. */
  onThreadDied(entry: Entry, { kind, payload }: RawOutcome): void {
    if (kind !== "lost") this.#crashed(entry, decodeError(payload) as Error, kind === "crashed");
    else this.sendAgain([entry]);
  }

  /** The call could not begin, since a value that it needs is gone. It is sent again when that is there again. */
  async onValueLost(entry: Entry, { payload }: RawOutcome): Promise<void> {
    this.#withdraw(entry);
    const lost = [...(entry.needs ?? [])].find(({ id }) => id === Buffer.from(payload).toString());
    this.#restoring.add(entry);
    try {
      if (lost !== undefined) await lost.values.restore(lost);
    } catch (error) {
      if (entry.isSettled) return;
      // The call that made it may have what it gave, and can give it again.
      if (entry instanceof NestedEntry) entry.settleRaw({ kind: "value-lost", payload: encodeError(error) });
      else entry.settle({ type: "crashed", error: error as Error });
      return;
    } finally {
      this.#restoring.delete(entry);
    }
    if (!entry.isSettled) this.sendAgain([entry]);
  }

  /** Calls that are none the worse for where they have been: ahead of those that wait. */
  sendAgain(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (entry.batchId !== undefined) this.#withdraw(entry);
      if (entry.isCancelled) entry.settle({ type: "cancelled" });
    }
    // What is only foreseen goes with what it waits for, or is submitted when that has ended.
    this.#waiting.prepend(entries.filter((entry) => !entry.isCancelled && !entry.isStillForeseen));
    this.#onWaiting();
  }

  /** No worker came, or the broker is away. Calls in the broker wait as well: their batches are not released, the link takes them out when it closes. */
  giveUpAll(error: Error): void {
    for (const entry of [...this.#outstanding.takeAll(), ...this.#waiting.takeAll()]) {
      this.#nested.abandon(entry);
      if (!entry.isSettled && !entry.isStillForeseen)
        entry.settle(entry.isCancelled ? { type: "cancelled" } : { type: "crashed", error });
    }
  }

  /** The call was, or may have been, in a thread or process when it died. @param isBlamed nothing else was in it */
  #crashed(entry: Entry, error: Error, isBlamed: boolean): void {
    // One that is only foreseen may have begun all the same: what it waits for has returned, and is being kept.
    const cannotHaveBegun = entry.isStillForeseen && entry.blockedBy > 0;
    this.#withdraw(entry);
    if (cannotHaveBegun) return;
    if (isBlamed) entry.crashes++;
    else entry.suspicions++;
    entry.isAlone = true;
    entry.aloneUntil = undefined;
    entry.handBacks = 0; // Those were of a batch that had begun, or waited behind others.
    if (entry instanceof NestedEntry) this.#nested.record(entry, error);
    if (entry.isCancelled) entry.settle({ type: "cancelled" });
    else if (isGivenUp(entry)) entry.settle({ type: "crashed", error });
    else if (!entry.isStillForeseen) this.#waiting.push(entry);
  }
}
