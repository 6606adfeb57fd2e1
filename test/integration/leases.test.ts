/** The right to run something lasts for a time: of a worker that sleeps, of a flow whose process died or computes. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { DistributedTaskRunner, flow } from "millrace";
import { expect, inject, test, vi } from "vitest";
import { LEASE_MS, LEASE_RENEWAL_MS } from "../../packages/broker/src/intervals.ts";
import { Wire } from "../../packages/broker/testing/wire.ts";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { startHolding } from "../support/holding.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { start, startWorker, terminate } from "../support/processes.ts";
import { keysBesideQueue } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

/** A lease of 15 s, a renewal of 5 s, and what a busy machine adds. */
const LEASE_AND_MORE_MS = 30_000;

vi.setConfig({ testTimeout: 90_000 });
keepLogs();
const newNamespace = ownNamespaces();

test("a flow's process is killed: workers stop what they run of it, and nothing of it stays in Redis", async () => {
  await using gate = await Gate.make();
  const namespace = newNamespace();
  const worker = await startWorker(namespace, "--threads", "1");
  const program = start(
    process.execPath,
    ["--import", "tsx", "test/fixtures/holding-flow.ts", gate.directory],
    {
      env: { MILLRACE_REDIS_URL: inject("redisUrl"), HOLDING_NAMESPACE: namespace },
    },
  );
  await gate.waitFor("a call of it runs", (starts) => starts.length === 1);
  program.child.kill("SIGKILL");
  await program.exited;
  await until(
    "nothing of it is left",
    async () => (await keysBesideQueue(namespace)).every((key) => OF_WORKERS.test(key)),
    LEASE_AND_MORE_MS,
  );
  // The worker's only thread is free again.
  const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
  expect(await flow({ name: "next", taskRunner }, () => tasks.add(1, 1))()).toBe(2);
  expect(worker.output.stderr).toMatch(/a batch was dropped: its flow's process is gone/);
  expect((await terminate(worker)).code).toBe(0);
});

const OF_WORKERS = /^(workers|worker|inbox):/;

test("a flow that computes for longer than its lease keeps its workers, which run each call once", async () => {
  await using gate = await Gate.make();
  const namespace = newNamespace();
  const worker = await startWorker(namespace, "--threads", "1");
  const program = start(
    process.execPath,
    ["--import", "tsx", "test/fixtures/computing-flow.ts", gate.directory],
    {
      env: { MILLRACE_REDIS_URL: inject("redisUrl"), HOLDING_NAMESPACE: namespace },
    },
  );
  const { code, stdout, stderr } = await program.exited;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.trim()).toBe(`held by ${worker.pid}`);
  const journal = await readFile(gate.path("journal"), "utf8");
  expect(journal).toBe("x");
  await terminate(worker);
});

test("a worker that sleeps past its lease finds its work taken over, and its late outcome is ignored", async () => {
  await using gate = await Gate.make();
  const namespace = newNamespace();
  const sleeper = await startWorker(namespace, "--threads", "1");
  const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
  const run = startHolding(taskRunner, gate, ["a"]);
  await gate.waitFor("the sleeper runs it", (starts) => starts.length === 1);
  sleeper.child.kill("SIGSTOP");
  const other = await startWorker(namespace, "--threads", "1");
  await gate.waitFor("the other runs it", (starts) => starts.some(({ pid }) => pid === other.pid), 20_000);
  sleeper.child.kill("SIGCONT");
  await until(
    "the sleeper has stopped it",
    () => sleeper.output.stderr.includes("a batch was dropped"),
    20_000,
  );
  await writeFile(gate.path("open"), "");
  expect(await run.result()).toEqual([{ name: "a", pid: other.pid }]);
  // It serves again.
  await terminate(other);
  expect(await flow({ name: "next", taskRunner }, () => tasks.add(1, 1))()).toBe(2);
  expect((await terminate(sleeper)).code).toBe(0);
});

test("a worker that is cut off, and stays so, ends what it computes by its own clock", async () => {
  await using gate = await Gate.make();
  const namespace = newNamespace();
  let isCut = false;
  await using wire = await Wire.to(inject("redisUrl"), () => !isCut);
  const cutOff = await startWorker(namespace, "--redis", wire.redisUrl, "--threads", "1");
  const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
  const run = flow({ name: "cut off", taskRunner }, () => tasks.tick(gate.directory)).start();
  const ticks = (pid: number) =>
    readFile(gate.path(`${pid}.ticks`), "utf8").then(
      ({ length }) => length,
      () => 0,
    );
  await until("it computes", async () => (await ticks(cutOff.pid)) > 0);
  isCut = true;
  const cutAt = Date.now();
  const other = await startWorker(namespace, "--threads", "1");
  await until("the other has taken it over", async () => (await ticks(other.pid)) > 0, 20_000);
  const lastTickAt = async () => (await stat(gate.path(`${cutOff.pid}.ticks`))).mtimeMs;
  // It ticks fifty times a second.
  await until("it ticks no more", async () => Date.now() - (await lastTickAt()) > 1_000, LEASE_AND_MORE_MS);
  expect((await lastTickAt()) - cutAt).toBeLessThan(LEASE_MS + LEASE_RENEWAL_MS + 5_000);
  await writeFile(gate.path("open"), "");
  expect(await run.result()).toBe(other.pid);
  await terminate(other);
  cutOff.child.kill("SIGKILL");
  await cutOff.exited;
});
