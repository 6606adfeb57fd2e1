import { setTimeout as delay } from "node:timers/promises";

const POLL_INTERVAL_MS = 10;

/** Waits until a condition of the world outside holds, such as that a file is there. Throws when it does not in time. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Expected that ${what} within ${timeoutMs / 1000} s.`);
    await delay(POLL_INTERVAL_MS);
  }
}
