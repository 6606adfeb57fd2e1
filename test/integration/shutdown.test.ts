/** The ends of programs, clusters and workers: prompt, with the exit code that is promised, and with nothing left. */
import { BullMqBroker } from "@millrace/broker/bullmq";
import { DistributedTaskRunner, flow, LocalCluster } from "millrace";
import { describe, expect, inject, test, vi } from "vitest";
import * as tasks from "../fixtures/tasks.ts";
import { Gate } from "../support/gate.ts";
import { keepLogs } from "../support/logs.ts";
import { expectNothingLeft, ownEnvironment } from "../support/own-environment.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { startPrivateRedis } from "../support/private-redis.ts";
import { signalUntilExit, start, startWorker, terminate } from "../support/processes.ts";
import { allKeys, redisDatabase } from "../support/redis-keys.ts";
import { until } from "../support/until.ts";
import { UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const newNamespace = ownNamespaces();

/** How long an end may take that is to be prompt: the grace of a local cluster is 1 s, and the machine may be busy. */
const PROMPT_MS = 10_000;

/** A program of tasks that never end, on a cluster of two workers of one thread. @param redis of the cluster; default: a private one */
function endlessProgram(gate: Gate, end = "", redis?: string): string {
  const cluster = JSON.stringify({
    broker: "redis",
    workers: 2,
    threads: 1,
    ...(redis !== undefined && { redis }),
  });
  return `
    import { readdirSync, writeFileSync } from "node:fs";
    import { setTimeout } from "node:timers/promises";
    import { DistributedTaskRunner, flow, task } from "millrace";
    const gate = ${JSON.stringify(gate.directory)};
    const say = (name) => writeFileSync(\`\${gate}/\${name}.\${process.pid}.0.started\`, "");
    const wait = task({ name: "wait" }, async (name) => { say(name); for (;;) await setTimeout(1000); });
    const spin = task({ name: "spin" }, (name) => { say(name); for (;;); });
    const taskRunner = new DistributedTaskRunner({ cluster: ${cluster} });
    const endless = flow({ name: "endless", taskRunner }, async ({ kind }) => {
      const calls = ["a", "b"].map((name) => (kind === "spin" ? spin : wait).submit(name));
      ${end}
      await Promise.all(calls);
    });
    await endless({ kind: process.argv[2] });`;
}

const bothRun = (starts: readonly unknown[]) => starts.length === 2;

describe.each(["wait", "spin"])("a program whose calls %s for ever", (kind) => {
  test("is killed: no worker, no redis-server and no directory outlives it", async () => {
    await using gate = await Gate.make();
    await using project = await UserProject.make({ "main.js": endlessProgram(gate) });
    const { mark, env } = await ownEnvironment(project);
    const program = start(process.execPath, ["main.js", kind], { cwd: project.root, env });
    await gate.waitFor("both calls run", bothRun);
    program.child.kill("SIGKILL");
    expect(await program.exited).toMatchObject({ signal: "SIGKILL" });
    await expectNothingLeft(project, mark);
  });

  test("gets Ctrl-C, with all its processes: it ends at once with 130, and leaves nothing, not even in a named Redis", async () => {
    const redis = redisDatabase(kind === "spin" ? 4 : 5);
    await using gate = await Gate.make();
    await using project = await UserProject.make({ "main.js": endlessProgram(gate, "", redis) });
    const { mark, env } = await ownEnvironment(project);
    // The shell goes on after the signal, to say what the program ended with.
    const script = 'trap : INT; "$@"; echo "code $?"';
    const shell = start("/bin/sh", ["-c", script, "sh", process.execPath, "main.js", kind], {
      ...{ cwd: project.root, env, ownGroup: true },
    });
    await gate.waitFor("both calls run", bothRun);
    process.kill(-shell.pid, "SIGINT");
    const pressedAt = performance.now();
    expect(await shell.exited).toMatchObject({ stdout: "code 130\n", stderr: "" });
    expect(performance.now() - pressedAt).toBeLessThan(PROMPT_MS);
    await expectNothingLeft(project, mark);
    await until("no key is left", async () => (await allKeys(redis)).length === 0);
  });
});

test("a program and its workers are killed at once: the next local cluster takes away what stayed, and nothing else", async () => {
  const redis = redisDatabase(6);
  await using gate = await Gate.make();
  await using others = await Gate.make();
  await using project = await UserProject.make({ "main.js": endlessProgram(gate, "", redis) });
  const { mark, env } = await ownEnvironment(project);
  const standing = await BullMqBroker.connect({ redisUrl: redis, namespace: "local-like" });
  await standing.limits().set("narrow", { slots: 1 });
  await using living = new LocalCluster({ broker: "redis", redis, workers: 1, threads: 1 });
  const run = flow({ name: "lives", taskRunner: new DistributedTaskRunner({ cluster: living }) }, () =>
    tasks.hold(others.directory, "a"),
  ).start();
  await others.waitFor("a call of another cluster runs", (starts) => starts.length === 1);
  const before = await allKeys(redis);
  const program = start(process.execPath, ["main.js", "wait"], { cwd: project.root, env, ownGroup: true });
  await gate.waitFor("both calls run", bothRun);
  process.kill(-program.pid, "SIGKILL");
  await program.exited;
  await expectNothingLeft(project, mark);
  const namespaces = async () => new Set((await allKeys(redis)).map((key) => key.split("}")[0]));
  const isOver = async () =>
    !(await allKeys(redis)).some((key) => !before.includes(key) && OF_LIFE.test(key));
  await until("its times to live are over", isOver);
  expect((await namespaces()).size).toBe(3); // The others stay.

  await using next = new LocalCluster({ broker: "redis", redis, workers: 1, threads: 1 });
  await next.start();
  await next.close();
  await until("it is taken away", async () => (await namespaces()).size === 2);
  await others.open();
  await run.result();
  expect(await others.started()).toHaveLength(1);
  await living.close();
  expect(await allKeys(redis)).toEqual(["{millrace:local-like}:limits"]);
  await standing.limits().remove("narrow");
  await standing.close();
});

/** What somebody renews who lives. */
const OF_LIFE = /:(worker|workers|inbox|runner|runner-lease|replies):/;

test("a program that handles Ctrl-C itself keeps its workers until it has done what it wants to", async () => {
  await using gate = await Gate.make();
  await using project = await UserProject.make({
    "main.js": `
      import { existsSync, writeFileSync } from "node:fs";
      import { setTimeout } from "node:timers/promises";
      import { DistributedTaskRunner, flow, task } from "millrace";
      const hold = task({ name: "hold" }, async () => {
        writeFileSync(\`${gate.directory}/a.\${process.pid}.0.started\`, "");
        while (!existsSync("${gate.directory}/open")) await setTimeout(5);
        return process.pid;
      });
      const taskRunner = new DistributedTaskRunner({ cluster: { broker: "redis", workers: 1, threads: 1 } });
      process.once("SIGINT", () => writeFileSync("${gate.directory}/open", ""));
      await flow({ name: "patient", taskRunner }, () => hold())();
      console.log("done");`,
  });
  const { mark, env } = await ownEnvironment(project);
  const program = start(process.execPath, ["main.js"], { cwd: project.root, env, ownGroup: true });
  const [first] = await gate.waitFor("the call runs", (starts) => starts.length === 1);
  process.kill(-program.pid, "SIGINT");
  expect(await program.exited).toEqual({ code: 0, signal: null, stdout: "done\n", stderr: "" });
  expect(await gate.started()).toEqual([first]); // It did not run twice.
  await expectNothingLeft(project, mark);
});

describe.each([
  ["calls process.exit(7)", "process.exit(7);", 7],
  ["has an uncaught exception", 'setImmediate(() => { throw new Error("unforeseen"); });', 1],
])("a program that %s while calls run", (_, end, code) => {
  test("ends with its code, and nothing of its cluster is left", async () => {
    await using gate = await Gate.make();
    const whenBothRun = `
      while (!["a", "b"].every((name) => readdirSync(gate).some((file) => file.startsWith(name)))) await setTimeout(5);`;
    const text = endlessProgram(gate, `${whenBothRun}\n${end}`);
    await using project = await UserProject.make({ "main.js": text });
    const { mark, env } = await ownEnvironment(project);
    const exit = await project.run("main.js", { env });
    expect(exit).toMatchObject({ code, signal: null });
    await expectNothingLeft(project, mark);
  });
});

describe("a program whose flow has ended exits by itself", () => {
  const main = (options: object, body: string) => `
    import { DistributedTaskRunner, flow, task } from "millrace";
    const half = task({ name: "half" }, (n) => { if (n % 2) throw new RangeError("odd"); return n / 2; });
    const taskRunner = new DistributedTaskRunner(${JSON.stringify(options)});
    const run = await flow({ name: "ends", taskRunner }, ${body}).start().wait();
    console.log(run.type);`;
  const bodies = [
    ["COMPLETED", "() => half(4)"],
    ["FAILED", "() => half(3)"],
    ["CANCELLED", "() => { const n = half.submit(4); const e = n.cancel(); return e; }"],
  ] as const;
  const clusters = {
    embedded: { cluster: { broker: "memory", workers: 1, threads: 1 } },
    "processes behind a Redis": { cluster: { broker: "redis", workers: 1, threads: 1 } },
  };

  test.each(
    Object.entries(clusters).flatMap(([name, options]) =>
      bodies.map((body) => [name, ...body, options] as const),
    ),
  )("on a cluster that is %s: %s", async (_, type, body, options) => {
    await using project = await UserProject.make({ "main.js": main(options, body) });
    const { mark, env } = await ownEnvironment(project);
    expect(await project.run("main.js", { env })).toMatchObject({
      code: 0,
      signal: null,
      stdout: `${type}\n`,
    });
    await expectNothingLeft(project, mark);
  });

  test.each(bodies)("on a standing cluster: %s", async (type, body) => {
    const namespace = newNamespace();
    const options = { redis: inject("redisUrl"), namespace };
    await using project = await UserProject.make({ "main.js": main(options, body) });
    const worker = await startWorker(namespace, "--threads", "1", "--root", project.root);
    expect(await project.run("main.js")).toMatchObject({ code: 0, signal: null, stdout: `${type}\n` });
    await terminate(worker);
  });
});

describe("a signal to `millrace worker` with a call in an infinite loop", () => {
  /** A flow of one call that occupies its thread until the gate opens, and that no death may be blamed on. */
  function occupying(namespace: string, gate: Gate) {
    const taskRunner = new DistributedTaskRunner({ redis: inject("redisUrl"), namespace });
    const occupy = tasks.occupy.withOptions({ crashRetries: 0 });
    return flow({ name: "occupying", taskRunner }, () => occupy(gate.directory, "a")).start();
  }

  test("SIGTERM: it ends with 0 within the grace, and the call runs elsewhere, without blame", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const leaving = await startWorker(namespace, "--threads", "1", "--grace-seconds", "1");
    const flowRun = occupying(namespace, gate);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    const askedAt = performance.now();
    leaving.child.kill("SIGTERM");
    expect(await leaving.exited).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - askedAt).toBeLessThan(PROMPT_MS);
    const other = await startWorker(namespace, "--threads", "1");
    await gate.waitFor("it runs elsewhere", (starts) => starts.some(({ pid }) => pid === other.pid));
    await gate.open();
    expect(await flowRun.result()).toEqual({ name: "a", pid: other.pid });
    await terminate(other);
  });

  test("SIGINT twice: it ends at once with 130", async () => {
    await using gate = await Gate.make();
    const namespace = newNamespace();
    const worker = await startWorker(namespace, "--threads", "1");
    const flowRun = occupying(namespace, gate);
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    expect(await signalUntilExit(worker, "SIGINT")).toMatchObject({ code: 130, signal: null });
    await flowRun.cancel();
  });
});

describe("cluster.close()", () => {
  const redis = () => ({ broker: "redis", redis: inject("redisUrl"), workers: 2, threads: 1 }) as const;

  test.each([
    ["memory", { broker: "memory", workers: 2, threads: 1 }],
    ["redis", undefined],
  ] as const)("ends while calls run, also when it is called twice: %s", async (_, options) => {
    await using gate = await Gate.make();
    const cluster = await new LocalCluster(options ?? redis()).start();
    const { pids } = cluster;
    const taskRunner = new DistributedTaskRunner({ cluster, noWorkersTimeoutSeconds: 1 });
    const names = ["a", "b", "c"];
    const body = () => Promise.all(names.map((name) => tasks.occupy(gate.directory, name)));
    const flowRun = flow({ name: "cut", taskRunner }, body).start();
    await gate.waitFor("calls run", bothRun);
    const closedAt = performance.now();
    await Promise.all([cluster.close(), cluster.close()]);
    expect(performance.now() - closedAt).toBeLessThan(PROMPT_MS);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    // Nothing hangs: its calls wait for workers that do not come, and then end.
    expect(await flowRun.wait()).toMatchObject({ data: { code: "ERR_NO_WORKERS" } });
  });

  test("ends when it is called during the start", async () => {
    const cluster = new LocalCluster(redis());
    const starting = cluster.start().catch((error: Error) => error);
    await cluster.close();
    await starting;
    expect(cluster.pids).toEqual([]);
  });

  test("ends when its Redis is dead, while calls run", async () => {
    await using gate = await Gate.make();
    const server = await startPrivateRedis();
    const cluster = await new LocalCluster({ ...redis(), redis: server.url }).start();
    const { pids } = cluster;
    const taskRunner = new DistributedTaskRunner({ cluster, noWorkersTimeoutSeconds: 1 });
    const flowRun = flow({ name: "cut", taskRunner }, () => tasks.occupy(gate.directory, "a")).start();
    await gate.waitFor("the call runs", (starts) => starts.length === 1);
    await server.kill();
    const closedAt = performance.now();
    await cluster.close();
    expect(performance.now() - closedAt).toBeLessThan(PROMPT_MS);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(await flowRun.wait()).toMatchObject({ data: { code: "ERR_NO_WORKERS" } });
  });
});
