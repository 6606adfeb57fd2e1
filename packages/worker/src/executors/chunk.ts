import type { PendingCall } from "./pending-call.ts";
import { CHUNK_MS } from "./thread-plan.ts";

/**
 * The calls that go to a thread together: ready ones, and short ones that need nothing but what those return, so that a
 * chain of short calls costs one message to its thread, and not one for each call. In an order in which they can run. A
 * longer call, or one of a new task, goes alone when its turn has come: it may as well run in another thread.
 */
export function chunkOf(
  ready: readonly PendingCall[],
  expectedMs: (pending: PendingCall) => number | undefined,
): readonly PendingCall[] {
  if (!ready.some(({ dependents }) => dependents !== undefined)) return ready;
  const chunk = [...ready];
  /** Of calls that could come along: for how many calls outside the chunk they wait. */
  const waits = new Map<PendingCall, number>();
  let chunkMs = 0;
  for (const pending of ready) chunkMs += expectedMs(pending) ?? Number.POSITIVE_INFINITY;
  for (const pending of chunk) {
    for (const dependent of pending.dependents ?? []) {
      const waitsFor = (waits.get(dependent) ?? dependent.waitsFor) - 1;
      waits.set(dependent, waitsFor);
      if (waitsFor > 0 || dependent.slot !== undefined || dependent.isCancelled) continue;
      const costMs = expectedMs(dependent) ?? Number.POSITIVE_INFINITY;
      if (chunkMs + costMs > CHUNK_MS) continue;
      chunkMs += costMs;
      chunk.push(dependent);
    }
  }
  return chunk;
}
