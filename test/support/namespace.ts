import { inject } from "vitest";

let count = 0;

/**
 * A namespace of a test's own in the shared Redis: tests are kept apart by name, not by cleaning. After all tests, keys
 * that are left in any such namespace fail the run.
 */
export function uniqueNamespace(): string {
  return `test-${inject("runId")}-${process.pid}-${++count}`;
}
