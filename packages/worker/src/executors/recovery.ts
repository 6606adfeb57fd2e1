import type { PendingCall } from "./pending-call.ts";

/** What becomes of calls that their thread has not ended, and that are not to blame for it. */
export interface Recovery {
  /** They were to end at any rate. */
  readonly cancelled: readonly PendingCall[];
  /** They have asked something of their flow's process, which then starts them afresh. */
  readonly lost: readonly PendingCall[];
  /** What they wait for will not return here: their flow's process decides. */
  readonly unstarted: readonly PendingCall[];
  /** They run again, here. Those that wait for others do so when these have returned, and are not among them. */
  readonly ready: readonly PendingCall[];
}

/** Decides it for calls that were taken back from a thread, or that it had when it died. */
export function recoveryOf(calls: readonly PendingCall[]): Recovery {
  const left = calls.filter(({ isCancelled }) => !isCancelled);
  return {
    cancelled: calls.filter(({ isCancelled }) => isCancelled),
    unstarted: left.filter(({ isBarred }) => isBarred),
    lost: left.filter(({ hasAsked }) => hasAsked),
    ready: left.filter(({ hasAsked, waitsFor }) => !hasAsked && waitsFor === 0),
  };
}
