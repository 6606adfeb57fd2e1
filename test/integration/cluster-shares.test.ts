/** What everybody on a standing cluster shares: limits that `millrace limit set` has set, and cached results. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { DistributedTaskRunner, flow } from "millrace";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import * as tasks from "../../packages/core/testing/contract/tasks.ts";
import { uniqueNamespace } from "../support/namespace.ts";
import { type Program, startWorker, terminate } from "../support/processes.ts";
import { forgetNamespace } from "../support/redis-keys.ts";

const namespace = uniqueNamespace();
let directory: string;
let worker: Program;
let broker: BullMqBroker;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "millrace-shares-"));
  worker = await startWorker(namespace, "--threads", "2");
  broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
});

afterAll(async () => {
  await broker.close();
  await terminate(worker);
  await forgetNamespace(namespace);
  await rm(directory, { recursive: true, force: true });
});

/** Each run has a session, a dispatcher and a limiter of its own, as it would in another process. */
const inFlow = (fn: () => unknown) =>
  flow({ name: "f", taskRunner: new DistributedTaskRunner({ redis: inject("redisUrl"), namespace }) }, fn)();

test("flow runs are bound by the limits of the cluster, together, as are tasks inside tasks", async () => {
  await broker.limits().set("db", { slots: 1 });
  const log = join(directory, "log");
  const labels = ["a", "b", "c"];
  const visit = () => tasks.limited.map(new Array<string>(3).fill(log), labels).results();
  await Promise.all([inFlow(visit), inFlow(() => tasks.nestingLimited(log, labels)), inFlow(visit)]);
  const lines = (await readFile(log, "utf8")).trim().split("\n");
  expect(lines).toHaveLength(18);
  // One comes in and goes out before the next comes in.
  for (let line = 0; line < lines.length; line += 2)
    expect(lines[line + 1]).toBe(lines[line]!.replace("+", "-"));
  expect(await broker.limits().inspect()).toEqual([{ name: "db", slots: 1, held: 0, waiting: 0 }]);
  await broker.limits().remove("db");
});

test("a result that one flow run has cached is found by others, with no more said", async () => {
  const file = join(directory, "count");
  const cached = () => tasks.cachedByName(file, "k");
  expect(
    await Promise.all([inFlow(cached), inFlow(cached), inFlow(() => tasks.callCached(file, "k"))]),
  ).toEqual([1, 1, 1]);
  expect(await inFlow(cached)).toBe(1);
});
