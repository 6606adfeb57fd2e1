/** Who holds each task run of a flow that goes on, and why others wait: as the flow says it, and as `millrace status` does. */
import { hostname } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  DistributedTaskRunner,
  type FlowRun,
  flow,
  LocalCluster,
  type MillraceError,
  type OpenRun,
  unmapped,
} from "millrace";
import { describe, expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { startHolding } from "../support/holding.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { startPrivateRedis } from "../support/private-redis.ts";
import { CLI, type Program, ROOT, run, start, startWorker, terminate } from "../support/processes.ts";
import { keysBesideQueue, keysOfNamespace } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 60_000 });
const logs = keepLogs();
const newNamespace = ownNamespaces();

/** The worker that says that it serves. */
function workerIdOf({ output }: Program): string {
  return /Millrace worker ([\w-]+):/.exec(output.stderr)?.[1] as string;
}

describe("openRuns of a flow on a standing cluster", () => {
  test("names the worker that holds a call, its host and its process", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    const runner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const flowRun = startHolding(runner, gate, ["a"]);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    const open = await flowRun.openRuns();
    expect(open).toMatchObject([
      {
        taskRunId: `${flowRun.id}-0`,
        taskRunName: "hold-0",
        state: "Running",
        why: { type: "held", queue: "default", workerId: workerIdOf(worker), isAlive: true, pid: worker.pid },
      },
    ]);
    expect(open[0]?.reason).toContain(`(${hostname()}, process ${worker.pid}) has it since 20`);
    await gate.open();
    await flowRun.result();
    await terminate(worker);
  });

  test("names the queue that no worker serves; then a worker comes", async () => {
    const namespace = newNamespace();
    const runner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace, queue: "gpu" });
    const flowRun = flow({ name: "waits", taskRunner: runner }, () => tasks.add(1, 1)).start();
    let open: readonly OpenRun[] = [];
    await until("the run is open", async () => {
      open = await flowRun.openRuns();
      return open.length > 0;
    });
    expect(open).toMatchObject([
      { why: { type: "no-workers", queue: "gpu" }, reason: 'No worker serves queue "gpu".' },
    ]);
    const worker = await startWorker(namespace, "--queue", "gpu", "--threads", "1");
    expect(await flowRun.result()).toBe(2);
    await terminate(worker);
  });

  test("says that Redis does not answer, and since when", async () => {
    const redis = await startPrivateRedis();
    const started = Date.now();
    const taskRunner = new DistributedTaskRunner({ redis: redis.url, namespace: "away" });
    const flowRun = flow({ name: "away", taskRunner }, () => tasks.add(1, 1)).start();
    await until("the run is open", async () => (await flowRun.openRuns()).length > 0);
    await redis.kill();
    let open: readonly OpenRun[] = [];
    await until("it is seen", async () => {
      open = await flowRun.openRuns();
      return open.every(({ why }) => why.type === "redis-away" && why.since >= started);
    });
    expect(open[0]?.reason).toMatch(/^Redis does not answer since 20/);
    await flowRun.cancel();
  });
});

test("openRuns accounts for every run at any moment, while workers of a cluster are killed", async () => {
  await using cluster = new LocalCluster({
    broker: "redis",
    redis: inject("redisUrl"),
    workers: 2,
    threads: 1,
  });
  await cluster.start();
  const taskRunner = new DistributedTaskRunner({ cluster });
  const flowRun: FlowRun<number[]> = flow({ name: "busy", taskRunner }, async () => {
    const first = tasks.add.map(
      Array.from({ length: 3000 }, (_, n) => n),
      unmapped(1),
    );
    const second = tasks.add.map(first, unmapped(1));
    await tasks.fibonacci(6);
    return second.results();
  }).start();
  let isOver = false;
  void flowRun.wait().then(() => {
    isOver = true;
  });
  let looks = 0;
  let kills = 0;
  const seen = new Set<string>();
  while (!isOver) {
    await nextTurn(); // Before the first run is made, and after the last, there is nothing to wait for.
    const open = await flowRun.openRuns();
    for (const { why } of open) seen.add(why.type);
    expect(open.filter(({ why }) => why.type === "unknown")).toEqual([]);
    const [victim] = cluster.pids;
    if (++looks % 3 === 0 && kills < 2 && victim !== undefined) {
      kills++;
      killIfThere(victim);
    }
  }
  expect(await flowRun.result()).toEqual(Array.from({ length: 3000 }, (_, n) => n + 2));
  expect(looks).toBeGreaterThan(1);
  expect(seen).toContain("awaits-runs");
  expect(await flowRun.openRuns()).toEqual([]);
});

describe("when no worker serves the queue of a flow", () => {
  test("the error says what waits, who serves other queues, and how to start a worker", async () => {
    const namespace = newNamespace();
    const other = await startWorker(namespace, "--queue", "gpus", "--threads", "1");
    const redis = inject("redisUrl");
    const taskRunner = new DistributedTaskRunner({
      redis,
      namespace,
      queue: "gpu",
      noWorkersTimeoutSeconds: 0.2,
    });
    const state = await flow({ name: "typo", taskRunner }, () =>
      tasks.add.map([1, 2, 3], unmapped(1)).results(),
    )
      .start()
      .wait();
    const { code, message } = state.data as MillraceError;
    expect(code).toBe("ERR_NO_WORKERS");
    expect(message).toMatch(
      /^Expected a worker for queue "gpu" within 0.2 s, got none; 3 calls wait there\. Workers serve /,
    );
    expect(message).toContain(`queue "gpus" of namespace "${namespace}" (1)`);
    expect(message).toContain(`\`millrace worker --redis ${redis} --namespace ${namespace} --queue gpu\``);
    await terminate(other);
  });

  test("the warning before it says the same", async () => {
    const namespace = newNamespace();
    const redis = inject("redisUrl");
    const taskRunner = new DistributedTaskRunner({ redis, namespace, queue: "gpu" });
    const flowRun = flow({ name: "warned", taskRunner }, () => tasks.add(1, 1)).start();
    const warning = () => logs().find(({ msg }) => msg === "calls wait: no worker serves their queue");
    await until("it is logged", () => warning() !== undefined);
    expect(warning()).toMatchObject({
      ...{ level: 40, queue: "gpu", waiting: 1, elsewhere: expect.any(Array) },
      start: `millrace worker --redis ${redis} --namespace ${namespace} --queue gpu`,
    });
    await flowRun.cancel();
  });
});

describe("`millrace status`", () => {
  function status(namespace: string, ...args: readonly string[]) {
    return run(process.execPath, [
      CLI,
      "status",
      "--redis",
      inject("redisUrl"),
      "--namespace",
      namespace,
      ...args,
    ]);
  }

  test("shows queues, workers and flow runs, and no problem", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    const flowRun = startHolding(new DistributedTaskRunner({ redis: inject("redisUrl"), namespace }), gate, [
      "a",
    ]);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    const exit = await status(namespace, "--json");
    expect(exit).toMatchObject({ code: 0, stderr: "" });
    const host = hostname();
    expect(JSON.parse(exit.stdout)).toEqual({
      namespace,
      queues: [{ queue: "default", waiting: 0, active: 1, workers: 1 }],
      workers: [
        {
          ...{
            workerId: workerIdOf(worker),
            pid: worker.pid,
            host,
            queue: "default",
            threads: 1,
            batches: 1,
          },
          ...{
            calls: expect.any(Number),
            startedAt: expect.any(Number),
            version: expect.stringMatching(/^\d/),
          },
          heartbeatAgeMs: expect.any(Number),
        },
      ],
      runners: [
        {
          ...{
            flowName: "holding",
            flowRunId: flowRun.id,
            queue: "default",
            host,
            pid: process.pid,
            batches: 1,
          },
          ...{ runnerId: expect.any(String), startedAt: expect.any(Number), version: expect.any(String) },
          calls: expect.any(Number),
        },
      ],
      problems: [],
    });
    const text = await status(namespace);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    for (const word of [workerIdOf(worker), flowRun.id, "holding", host, "heartbeat"])
      expect(text.stdout).toContain(word);
    expect(text.stdout).not.toContain("PROBLEM");
    await gate.open();
    await flowRun.result();
    await terminate(worker);
    expect(await keysBesideQueue(namespace)).toEqual([]); // Neither the worker's record nor the flow run's.
  });

  test("names a worker that was killed, and the batch that it held", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    const project = await startHolder(namespace, gate);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    // Frozen first: a flow's process that lives takes the batch of a dead worker back at once.
    project.child.kill("SIGSTOP");
    worker.child.kill("SIGKILL");
    await worker.exited;
    const id = workerIdOf(worker);
    await until(
      "its heartbeat has ended",
      async () => !(await keysOfNamespace(namespace)).includes(`worker:${id}`),
    );
    const exit = await status(namespace);
    expect(exit).toMatchObject({ code: 0, stderr: "" });
    expect(exit.stdout).toContain(`PROBLEM: Worker ${id} of queue "default" has had no heartbeat`);
    expect(exit.stdout).toMatch(
      new RegExp(`PROBLEM: Batch \\S+ in queue "default" is held by worker ${id}, which is gone`),
    );
    expect(exit.stdout).toMatch(
      /PROBLEM: Flow "held" .* for queue "default", which no worker serves\. Start one with `/,
    );
    project.child.kill("SIGKILL");
    await project.exited;
  });
});

/** A program whose flow holds a call on the standing cluster. */
async function startHolder(namespace: string, gate: Gate): Promise<Program> {
  const program = `
    import { DistributedTaskRunner, flow } from "millrace";
    import { hold } from ${JSON.stringify(`${ROOT}/test/fixtures/tasks.ts`)};
    const taskRunner = new DistributedTaskRunner(${JSON.stringify({ redis: inject("redisUrl"), namespace })});
    await flow({ name: "held", taskRunner }, () => hold(${JSON.stringify(gate.directory)}, "a"))();`;
  return start(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program]);
}

/** It may have died just now, with nobody told yet. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
