import { orAborted } from "@millrace/core/internal";

/**
 * The value of the promise; undefined when the signal fires first. Not a `Promise.race` with a promise that lives as long as a
 * worker: that would keep every value that it was raced against, as of all batches that the worker took.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  try {
    return await orAborted(promise, signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}
