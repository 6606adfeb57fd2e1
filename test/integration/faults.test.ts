/** Threads and processes die, and flows end all the same: with the right answer, or with a reason. */
import { existsSync } from "node:fs";
import { DistributedTaskRunner, flow, LocalCluster, unmapped, WorkerLostError } from "millrace";
import { describe, expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate, type Start } from "../support/gate.ts";
import { startHolding } from "../support/holding.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { signalUntilExit, startWorker, terminate } from "../support/processes.ts";
import { keysBesideQueue } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const newNamespace = ownNamespaces();

const NAMES = ["a", "b", "c", "d", "e", "f"];

/** Names of the calls that this process has started. */
function startedBy(starts: readonly Start[], pid: number): string[] {
  return starts.filter((start) => start.pid === pid).map(({ name }) => name);
}

describe("a worker process that is killed in mid-flow", () => {
  test("in a local cluster: its calls are sent again, and its place is taken", async () => {
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({
      broker: "redis",
      redis: inject("redisUrl"),
      workers: 2,
      threads: 1,
    });
    await cluster.start();
    const [victim, survivor] = cluster.pids as [number, number];
    const run = startHolding(new DistributedTaskRunner({ cluster }), gate, NAMES);
    await gate.waitFor(
      "both processes run a call",
      (starts) => new Set(starts.map(({ pid }) => pid)).size === 2,
    );
    const [lost] = startedBy(await gate.started(), victim);
    process.kill(victim, "SIGKILL");
    await until(
      "a new process takes its place",
      () => cluster.pids.every((pid) => pid !== victim) && cluster.pids.length === 2,
    );
    await gate.open();
    const ended = await run.result();
    expect(ended.map(({ name }) => name)).toEqual(NAMES);
    expect(ended.map(({ pid }) => pid)).not.toContain(victim);
    expect((await gate.started()).filter(({ name, pid }) => name === lost && pid !== victim)).not.toEqual([]);
    expect(cluster.pids).toContain(survivor);
  });

  test("in a standing cluster: another worker takes over", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const victim = await startWorker(namespace, "--threads", "1");
    const runner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const run = startHolding(runner, gate, NAMES);
    await gate.waitFor("the only worker runs a call", (starts) => starts.length > 0);
    const survivor = await startWorker(namespace, "--threads", "1");
    victim.child.kill("SIGKILL");
    await victim.exited;
    await gate.waitFor(
      "the other worker runs what it left",
      (starts) => startedBy(starts, survivor.pid).length > 0,
    );
    await gate.open();
    const ended = await run.result();
    expect(ended).toEqual(NAMES.map((name) => ({ name, pid: survivor.pid })));
    expect((await terminate(survivor)).code).toBe(0);
    // Nothing but what BullMQ keeps of any queue: not of the killed worker, nor of the flow.
    expect(await keysBesideQueue(namespace)).toEqual([]);
  });

  test("all workers at once: the calls wait for their successors", async () => {
    await using gate = await Gate.make();
    await using cluster = new LocalCluster({
      broker: "redis",
      redis: inject("redisUrl"),
      workers: 2,
      threads: 1,
    });
    await cluster.start();
    const victims = cluster.pids;
    const run = startHolding(new DistributedTaskRunner({ cluster }), gate, NAMES);
    await gate.waitFor(
      "both processes run a call",
      (starts) => new Set(starts.map(({ pid }) => pid)).size === 2,
    );
    for (const pid of victims) process.kill(pid, "SIGKILL");
    await gate.open();
    const ended = await run.result();
    expect(ended.map(({ name }) => name)).toEqual(NAMES);
    expect(ended.filter(({ pid }) => victims.includes(pid))).toEqual([]);
  });
});

describe("a call that ends its worker process is CRASHED", () => {
  /** What its error says. */
  async function messageOf(call: () => Promise<unknown>): Promise<string> {
    await using cluster = new LocalCluster({
      ...{ broker: "redis", redis: inject("redisUrl"), workers: 1, threads: 1 },
    });
    const taskRunner = new DistributedTaskRunner({ cluster });
    const state = await flow({ name: "ends-process", taskRunner }, call).start().wait();
    expect(state.data).toBeInstanceOf(WorkerLostError);
    return (state.data as Error).message;
  }

  test.each([
    ["SIGABRT", /Worker \S+ died\. It was ended by SIGABRT \(signal 6\): it aborted/],
    ["SIGSEGV", /Worker \S+ died\. It was killed by SIGSEGV \(signal 11\)\./],
    ["SIGKILL", /Worker \S+ died\. It was killed by SIGKILL: /],
  ] as const)("and its error names the signal %s", async (signal, message) => {
    expect(await messageOf(() => tasks.signalProcess(signal))).toMatch(message);
  });

  test("and its error says that memory ran out", async () => {
    vi.stubEnv("NODE_OPTIONS", "--max-old-space-size=64"); // Its processes inherit it.
    try {
      expect(await messageOf(() => tasks.exhaustHeap())).toMatch(/Worker \S+ died\. It .* memory ran out/);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe.each(["memory", "redis"] as const)("a thread that dies, with broker %s", (broker) => {
  const options = {
    broker,
    workers: 1,
    threads: 2,
    ...(broker === "redis" && { redis: inject("redisUrl") }),
  };

  test("crashes the run that ended it, with a sentence that says why, and no other", async () => {
    await using cluster = new LocalCluster(options);
    const seen = await flow(
      { name: "exits", taskRunner: new DistributedTaskRunner({ cluster }) },
      async () => {
        const guilty = tasks.exit.submit(3);
        const others = tasks.add.map(
          Array.from({ length: 200 }, (_, index) => index),
          unmapped(1),
        );
        const error: unknown = await guilty.result().catch((thrown: unknown) => thrown);
        return {
          error,
          type: guilty.state.type,
          message: guilty.state.message,
          values: await others.results(),
        };
      },
    )();
    expect(seen.type).toBe("CRASHED");
    expect(seen.message).toMatch(/The worker thread that ran the call died\. It called process\.exit\(3\)/);
    expect(seen.error).toMatchObject({ name: "WorkerLostError", code: "ERR_WORKER_LOST" });
    expect(seen.error).toBeInstanceOf(WorkerLostError);
    expect(seen.values).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  });

  test("has its call run again when crashRetries allows", async () => {
    await using gate = await Gate.make();
    await using cluster = new LocalCluster(options);
    const taskRunner = new DistributedTaskRunner({ cluster });
    const file = gate.path("first");
    expect(await flow({ name: "again", taskRunner }, () => tasks.exitOnce(file))()).toBe("second time");
    expect(existsSync(file)).toBe(true);
  });
});

describe("a signal to `millrace worker`", () => {
  test("SIGTERM: finishes what it runs, leaves the rest to others, and exits with 0", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const leaving = await startWorker(namespace, "--threads", "1");
    const run = startHolding(new DistributedTaskRunner({ redis: inject("redisUrl"), namespace }), gate, [
      "a",
    ]);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    leaving.child.kill("SIGTERM");
    await gate.open();
    expect(await run.result()).toEqual([{ name: "a", pid: leaving.pid }]);
    expect(await leaving.exited).toMatchObject({ code: 0, signal: null });
    expect((await gate.started()).length).toBe(1);
  });

  test("SIGTERM to an idle worker ends it with 0, and its successor serves", async () => {
    const namespace = newNamespace();
    const first = await startWorker(namespace, "--threads", "1");
    expect(await terminate(first)).toMatchObject({ code: 0, signal: null });
    const second = await startWorker(namespace, "--threads", "1");
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    expect(await flow({ name: "served", taskRunner }, () => tasks.add(1, 1))()).toBe(2);
    second.child.kill("SIGINT");
    expect(await second.exited).toMatchObject({ code: 0, signal: null });
  });

  test("a second signal ends it at once, in the middle of a call", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const impatient = await startWorker(namespace, "--threads", "1");
    const runner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const run = startHolding(runner, gate, ["a"]);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    expect(await signalUntilExit(impatient, "SIGTERM")).toMatchObject({ code: 143, signal: null });
    const other = await startWorker(namespace, "--threads", "1");
    await gate.open();
    expect(await run.result()).toEqual([{ name: "a", pid: other.pid }]);
    await terminate(other);
  });
});

test("calls that no worker takes end CRASHED after the set time, and say what to start", async () => {
  const runner = {
    redis: inject("redisUrl"),
    namespace: newNamespace(),
    queue: "gpu",
    noWorkersTimeoutSeconds: 0.2,
  };
  const body = () => tasks.add(1, 1);
  const state = await flow({ name: "alone", taskRunner: new DistributedTaskRunner(runner) }, body)
    .start()
    .wait();
  expect(state.data).toMatchObject({ name: "NoWorkersError", code: "ERR_NO_WORKERS" });
  expect((state.data as Error).message).toMatch(
    /Expected a worker for queue "gpu" within 0.2 s, got none; 1 call waits there\. .* Start one with `millrace worker/,
  );
});
