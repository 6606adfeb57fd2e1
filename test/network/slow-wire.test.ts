/** Redis is far away: 50 ms each way, and of a hundred pieces one is lost. Answers are right, and nothing is done twice. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DistributedTaskRunner, flow, unmapped } from "millrace";
import { expect, inject, test, vi } from "vitest";
import { executionsIn } from "../chaos/journal.ts";
import * as tasks from "../fixtures/tasks.ts";
import * as values from "../fixtures/value-tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { startWorker, terminate } from "../support/processes.ts";
import { SlowWire } from "./slow-wire.ts";
import { work } from "./tasks.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const newNamespace = ownNamespaces();

const NUMBERS = Array.from({ length: 100 }, (_, n) => n);
const LARGE = 200_000;

test("a flow and two workers on a slow wire that loses packets", async () => {
  await using wire = await SlowWire.lay(inject("redisUrl"), { delayMs: 50, lossPercent: 1 });
  await using gate = await Gate.make();
  const journals = gate.path("journals");
  mkdirSync(journals);
  const namespace = newNamespace();
  const args = ["--redis", wire.url, "--threads", "1"];
  const workers = [await startWorker(namespace, ...args), await startWorker(namespace, ...args)];
  const taskRunner = new DistributedTaskRunner({ redis: wire.url, namespace });

  const run = flow({ name: "far", taskRunner }, async () => {
    const works = work.map(NUMBERS, unmapped(journals), unmapped(5));
    let chain = tasks.add.submit(0, 0);
    for (let n = 1; n <= 20; n++) chain = tasks.add.submit(chain, n);
    const nested = tasks.fibonacci.submit(5);
    const large = values.lastOf.submit(values.makeBytes.submit(LARGE, 3));
    const squares = (await works.results()).map(({ square }) => square);
    return { squares, chain: await chain, nested: await nested, large: await large };
  });
  expect(await run()).toEqual({ squares: NUMBERS.map((n) => n * n), chain: 210, nested: 5, large: 3 });

  const [journal] = readdirSync(journals) as [string];
  const executions = executionsIn(readFileSync(join(journals, journal), "utf8"));
  expect(new Set(executions.map(({ taskRunId }) => taskRunId)).size).toBe(NUMBERS.length);
  expect(executions).toHaveLength(NUMBERS.length);
  for (const worker of workers) expect((await terminate(worker)).code).toBe(0);
});
