import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { BrokerUnavailableError, logTo, ModuleImportError, WorkerStartError } from "@millrace/core";
import { decode } from "@millrace/core/internal";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { findFreePort } from "../../../../test/support/find-redis.ts";
import {
  expectReleased,
  findLeftKeys,
  type ResourceSnapshot,
  snapshotResources,
} from "../../../../test/support/leaks.ts";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { batchOf, FIXTURES } from "../../testing/batches.ts";
import { FileGate } from "../../testing/file-gate.ts";
import { TestRunner } from "../../testing/test-runner.ts";
import { Nanny, type NannyOptions } from "./nanny.ts";

let resources: ResourceSnapshot;
let namespace: string;
let broker: BullMqBroker;
let runner: TestRunner;
let gate: FileGate;
let nanny: Nanny | undefined;
const deaths: { workerId: string; reason: string }[] = [];

beforeEach(async () => {
  resources = await snapshotResources();
  logTo({ write: () => {} });
  namespace = uniqueNamespace();
  broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  runner = await TestRunner.join(broker);
  gate = await FileGate.make();
});

afterEach(async () => {
  await nanny?.stop();
  nanny = undefined;
  deaths.length = 0;
  await runner.link.close();
  await broker.deleteNamespace();
  await broker.close();
  await gate.remove();
  logTo(undefined);
  await expectReleased(resources);
});

function workerOptions(changes: Partial<NannyOptions["worker"]> = {}): NannyOptions["worker"] {
  const redisUrl = inject("redisUrl");
  return { redisUrl, namespace, queue: "default", threads: 2, root: FIXTURES, graceSeconds: 10, ...changes };
}

function makeNanny(changes?: Partial<NannyOptions["worker"]>): Nanny {
  nanny = new Nanny({
    worker: workerOptions(changes),
    onDeath: (workerId, reason) => {
      deaths.push({ workerId, reason });
      void broker.workerDied(workerId, reason);
    },
  });
  return nanny;
}

/** Sends a batch, and gives what its call returned. */
async function serve(): Promise<unknown> {
  const [outcome] = await runner.answered(runner.send(batchOf("tasks.js", ["add", 1, 1])));
  return decode(outcome!.payload);
}

async function isAlive(pid: number): Promise<boolean> {
  // A process that ended stays in the table until its parent asks for it; the state follows the name in brackets.
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  if (status !== "") return !/\) [ZX] /.test(status);
  return new Promise((resolve) => execFile("ps", ["-p", `${pid}`], (error) => resolve(error === null)));
}

const processEnd = (pid: number) => until(`process ${pid} has ended`, async () => !(await isAlive(pid)));

test("once started, its worker is there and serves", async () => {
  await makeNanny().start();
  await runner.until(() => runner.capacity.workers > 0);
  expect(runner.capacity).toEqual({ workers: 1, slots: 2 });
  expect(await serve()).toBe(2);
});

describe("when its process is killed", () => {
  test("it says so at once, with the reason, and another worker serves", async () => {
    await makeNanny().start();
    const first = nanny!.pid!;
    const path = gate.path("held");
    const held = runner.send(batchOf("tasks.js", ["hold", path]));
    await gate.started([path]);
    process.kill(first, "SIGKILL");

    await runner.until(() => runner.lost.length > 0);
    expect(deaths).toEqual([
      { workerId: expect.any(String), reason: expect.stringMatching(/^It was killed by SIGKILL/) },
    ]);
    const reason = `Worker ${deaths[0]!.workerId} died. ${deaths[0]!.reason}`;
    expect(runner.lost).toEqual([{ batchId: held.id, reason, hasWorkerDied: true }]);
    expect(await serve()).toBe(2);
    expect(nanny!.pid).not.toBe(first);
    await runner.until(() => runner.capacity.workers === 1);
  });

  test("each time anew", async () => {
    await makeNanny().start();
    for (let death = 1; death <= 2; death++) {
      expect(await serve()).toBe(2);
      process.kill(nanny!.pid!, "SIGKILL");
      await until("the death is known", () => deaths.length === death);
    }
    expect(await serve()).toBe(2);
    expect(new Set(deaths.map(({ workerId }) => workerId)).size).toBe(2);
  });
});

describe("when it is stopped", () => {
  test("its process ends, and nothing of it is left", async () => {
    await makeNanny().start();
    expect(await serve()).toBe(2);
    const pid = nanny!.pid!;
    await Promise.all([nanny!.stop(), nanny!.stop()]);
    await nanny!.stop();
    expect(await isAlive(pid)).toBe(false);
    expect(deaths).toEqual([]);
    await runner.until(() => runner.capacity.workers === 0);
    const keys = await findLeftKeys(inject("redisUrl"), `*${namespace}}:worker*`, 0);
    expect(keys).toEqual([]);
  });

  test("a running call may end within the grace", async () => {
    await makeNanny().start();
    const path = gate.path("held");
    const held = runner.send(batchOf("tasks.js", ["hold", path]));
    await gate.started([path]);
    const stopped = nanny!.stop();
    gate.open(path);
    const [outcome] = await runner.answered(held);
    expect(decode(outcome!.payload)).toBe("held");
    await stopped;
    expect(runner.lost).toEqual([]);
  });

  test("a call that blocks its thread past the grace is lost", async () => {
    await makeNanny({ graceSeconds: 0 }).start();
    const path = gate.path("blocked");
    const blocked = runner.send(batchOf("tasks.js", ["block", path]));
    await gate.started([path]);
    await nanny!.stop();
    await runner.until(() => runner.lost.length > 0);
    expect(runner.lost[0]!.batchId).toBe(blocked.id);
  });

  test("before it was started, or while it starts, no process stays", async () => {
    await makeNanny().stop();
    const starting = makeNanny();
    const started = starting.start();
    const pid = starting.pid!;
    const failed = expect(started).rejects.toThrow(WorkerStartError);
    await starting.stop();
    await failed;
    expect(await isAlive(pid)).toBe(false);
  });
});

describe("a worker that cannot start", () => {
  test("for its Redis is refused with the error that it had", async () => {
    const redisUrl = `redis://:secret@127.0.0.1:${await findFreePort()}`;
    const started = makeNanny({ redisUrl }).start();
    await expect(started).rejects.toThrow(BrokerUnavailableError);
    await expect(started).rejects.toThrow(/ECONNREFUSED/);
    await expect(started).rejects.not.toThrow(/secret/);
    await processEnd(nanny!.pid!);
  });

  test("for a module is refused with the error that it had", async () => {
    const started = makeNanny({ modules: ["throws-on-import.js"] }).start();
    await expect(started).rejects.toThrow(ModuleImportError);
    await processEnd(nanny!.pid!);
  });
});

test("a worker process ends by itself when the process of its nanny is killed", async () => {
  const script = `
    const { Nanny } = await import(process.argv[1]);
    const nanny = new Nanny({ worker: JSON.parse(process.argv[2]), onDeath() {} });
    await nanny.start();
    console.log(nanny.pid);
  `;
  const built = new URL("../../dist/index.js", import.meta.url).href;
  const parent = spawn(
    process.execPath,
    ["--input-type=module", "--eval", script, built, JSON.stringify(workerOptions())],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(parent, "exit");
  const [line] = (await once(createInterface(parent.stdout!), "line")) as [string];
  const pid = Number(line);
  expect(await isAlive(pid)).toBe(true);
  const path = gate.path("blocked");
  runner.send(batchOf("tasks.js", ["block", path]));
  await gate.started([path]);

  parent.kill("SIGKILL");
  await exited;
  await processEnd(pid);
});
