/** `map` over an async iterable takes items as the workers have use for them. */
import { LocalCluster } from "millrace";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Gate } from "../support/gate.ts";
import { CountedSource, startStream, WINDOW_PER_THREAD } from "../support/held-stream.ts";
import { keepLogs } from "../support/logs.ts";
import { onCluster, onStandingCluster, type StartedRunner } from "../support/runner-kinds.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();

describe.each([
  onCluster("embedded", () => new LocalCluster({ broker: "memory", workers: 1, threads: 1 })),
  onStandingCluster("standing", ["--threads", "1"]),
])("on a $name cluster, the source", ({ start }) => {
  let started: StartedRunner;

  beforeAll(async () => {
    started = await start();
  });

  afterAll(() => started?.close());

  test("is pulled no further than the window while calls are blocked, and goes on when they end", async () => {
    await using gate = await Gate.make();
    const source = new CountedSource(3 * WINDOW_PER_THREAD);
    const run = startStream(started.taskRunner, gate, source);
    try {
      await source.expectPulled(WINDOW_PER_THREAD, gate);
    } finally {
      await gate.open();
      await run.wait();
    }
    expect(await run.result()).toEqual(source.names);
    expect(source.names).toHaveLength(3 * WINDOW_PER_THREAD);
  });

  test("is ended, and not pulled again, when the flow is cancelled", async () => {
    await using gate = await Gate.make();
    const source = new CountedSource();
    const run = startStream(started.taskRunner, gate, source);
    try {
      await source.expectPulled(WINDOW_PER_THREAD, gate);
    } finally {
      await run.cancel();
      await gate.open();
    }
    expect(await run.wait()).toMatchObject({ type: "CANCELLED" });
    expect(source.hasEnded).toBe(true);
    expect(source.names).toHaveLength(WINDOW_PER_THREAD);
  });
});
