/** A call that kills its worker's process is found and ends CRASHED; the calls that it met end as if it had not been there. */
import { appendFileSync, readFileSync } from "node:fs";
import { DistributedTaskRunner, flow, LocalCluster, unmapped, WorkerLostError } from "millrace";
import { expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { dieOnce } from "../fixtures/value-tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { startWorker, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 90_000 });
keepLogs();
const newNamespace = ownNamespaces();

const GOOD = 1_000;

test.each([
  ["at once", 0],
  ["in the middle of its work", 30],
])("a poison call among 1,000 good ones: killing %s", async (_, afterMs) => {
  await using gate = await Gate.make();
  await using cluster = new LocalCluster({
    ...{ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 2 },
  });
  const journal = gate.path("deaths");
  appendFileSync(journal, "");
  const run = flow({ name: "poisoned", taskRunner: new DistributedTaskRunner({ cluster }) }, async () => {
    const before = tasks.add.map(
      Array.from({ length: GOOD / 2 }, (_, index) => index),
      unmapped(1),
    );
    const poison = tasks.killProcess.submit(journal, afterMs);
    const after = tasks.add.map(
      Array.from({ length: GOOD / 2 }, (_, index) => index),
      unmapped(2),
    );
    const error: unknown = await poison.result().catch((thrown: unknown) => thrown);
    return { error, state: poison.state, sums: [...(await before.results()), ...(await after.results())] };
  });
  const { error, state, sums } = await run();
  expect(state.type).toBe("CRASHED");
  expect(error).toBeInstanceOf(WorkerLostError);
  expect((error as Error).message).toMatch(/Worker .* died/);
  expect(sums).toEqual([
    ...Array.from({ length: GOOD / 2 }, (_, index) => index + 1),
    ...Array.from({ length: GOOD / 2 }, (_, index) => index + 2),
  ]);
  // Once or twice among others, until it is suspected; then alone, as often as it may crash, and once more.
  const deaths = readFileSync(journal, "utf8").length;
  expect(deaths).toBeGreaterThanOrEqual(tasks.POISON_CRASH_RETRIES + 2);
  expect(deaths).toBeLessThanOrEqual(tasks.POISON_CRASH_RETRIES + 3);
});

test.each(["memory", "redis"] as const)(
  "a call that ends its thread among 1,000 good ones costs as many threads as it may crash, and one (%s)",
  async (broker) => {
    await using gate = await Gate.make();
    const redis = broker === "redis" ? { redis: inject("redisUrl") } : {};
    await using cluster = new LocalCluster({ broker, workers: 1, threads: 2, ...redis });
    const journal = gate.path("deaths");
    const numbers = Array.from({ length: GOOD / 2 }, (_, index) => index);
    const run = flow({ name: "poisoned", taskRunner: new DistributedTaskRunner({ cluster }) }, async () => {
      const before = tasks.add.map(numbers, unmapped(1));
      const poison = tasks.killThread.submit(journal);
      const after = tasks.add.map(numbers, unmapped(2));
      await poison.wait();
      return { poison: poison.state, sums: [...(await before.results()), ...(await after.results())] };
    });
    const { poison, sums } = await run();
    expect(poison).toMatchObject({
      type: "CRASHED",
      message: expect.stringMatching(/exit code 1|process\.exit/),
    });
    expect(sums).toEqual([...numbers.map((n) => n + 1), ...numbers.map((n) => n + 2)]);
    expect(readFileSync(journal, "utf8")).toHaveLength(tasks.POISON_CRASH_RETRIES + 1);
  },
);

test("a suspect does not wait for a worker that is busy while another could run it", async () => {
  await using gate = await Gate.make();
  await using cluster = new LocalCluster({
    ...{ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 2 },
  });
  const run = flow({ name: "hostage", taskRunner: new DistributedTaskRunner({ cluster }) }, async () => {
    const neighbour = tasks.occupy.submit(gate.directory, "a");
    await gate.waitFor("the neighbour computes", (starts) => starts.length === 1);
    const ended: string[] = [];
    // Each may come to either of the workers.
    for (let suspect = 0; suspect < 8; suspect++)
      ended.push(await tasks.exitOnce(gate.path(`exit-${suspect}`)));
    await gate.open();
    await neighbour.result();
    return ended;
  });
  expect(await run()).toEqual(Array.from({ length: 8 }, () => "second time"));
});

test("a suspect waits until its only worker is quiet, and says so", async () => {
  await using gate = await Gate.make();
  await using cluster = new LocalCluster({
    ...{ broker: "redis", redis: inject("redisUrl"), workers: 1, threads: 2 },
  });
  const run = flow({ name: "lone", taskRunner: new DistributedTaskRunner({ cluster }) }, async () => {
    const neighbour = tasks.occupy.submit(gate.directory, "a");
    await gate.waitFor("the neighbour computes", (starts) => starts.length === 1);
    const suspect = tasks.exitOnce.submit(gate.path("exit"));
    await Promise.all([neighbour.result(), suspect.result()]);
    return suspect.result();
  }).start();
  await until("openRuns says what the suspect waits for", async () =>
    (await run.openRuns()).some(({ reason }) =>
      reason.endsWith("and runs it when it computes nothing else."),
    ),
  );
  await gate.open();
  expect(await run.result()).toBe("second time");
});

test("a suspect of whose workers none becomes quiet has company after a while, which is not run again", async () => {
  await using endless = await Gate.make();
  await using long = await Gate.make();
  await using marks = await Gate.make();
  const namespace = newNamespace();
  const remaining = await startWorker(namespace, "--threads", "2");
  const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
  const run = flow({ name: "company", taskRunner }, async () => {
    const neighbours = [endless, long].map((gate) => tasks.occupy.submit(gate.directory, "a"));
    for (const gate of [endless, long]) await gate.waitFor("it computes", (starts) => starts.length === 1);
    const dying = await startWorker(namespace, "--threads", "1");
    const suspect = dieOnce.submit(new Uint8Array(3), marks.path("died"));
    expect((await dying.exited).signal).toBe("SIGKILL");
    await long.open(); // A thread is free, in a process that computes on and on.
    const ended = await suspect.result();
    await endless.open();
    return [ended, ...(await Promise.all(neighbours)).map(({ name }) => name)];
  });
  expect(await run()).toEqual([3, "a", "a"]);
  expect([await endless.started(), await long.started()].map(({ length }) => length)).toEqual([1, 1]);
  expect((await terminate(remaining)).code).toBe(0);
});

test("a call that may not crash once survives the company of one that kills", async () => {
  await using gate = await Gate.make();
  await using cluster = new LocalCluster({
    ...{ broker: "redis", redis: inject("redisUrl"), workers: 1, threads: 2 },
  });
  const journal = gate.path("deaths");
  const names = ["a", "b"];
  const run = flow({ name: "company", taskRunner: new DistributedTaskRunner({ cluster }) }, async () => {
    const held = tasks.hold.withOptions({ crashRetries: 0 }).map(unmapped(gate.directory), names);
    const poison = tasks.killProcess.submit(journal, 100);
    await poison.wait();
    await gate.open();
    return { poison: poison.state.type, held: (await held.results()).map(({ name }) => name) };
  });
  expect(await run()).toEqual({ poison: "CRASHED", held: names });
});
