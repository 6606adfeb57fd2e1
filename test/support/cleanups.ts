import { afterEach, beforeEach } from "vitest";
import { expectReleased, type ResourceSnapshot, snapshotResources } from "./leaks.ts";

/** What the current test pushes here is called when it has ended, the last first; then nothing of it may be left in this process. */
export function useCleanups(): Pick<(() => unknown)[], "push" | "pop"> {
  let resources: ResourceSnapshot;
  const cleanups: (() => unknown)[] = [];

  beforeEach(async () => {
    resources = await snapshotResources();
  });

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await expectReleased(resources);
  });

  return cleanups;
}
