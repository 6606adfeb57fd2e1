import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { Worker } from "node:worker_threads";
import { Redis } from "ioredis";
import { afterEach, describe, expect, inject, test } from "vitest";
import { expectNoLeaks, findLeftKeys, findLeftProcesses, RUN_MARK } from "./leaks.ts";
import { uniqueNamespace } from "./namespace.ts";

const SHORT_MS = 50;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts a process that runs until its standard input ends or it is killed. */
async function startIdleProcess(environment: NodeJS.ProcessEnv = process.env): Promise<ChildProcess> {
  const child = spawn("cat", { env: environment, stdio: ["pipe", "ignore", "ignore"] });
  cleanups.push(() => endProcess(child));
  await once(child, "spawn");
  return child;
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function listen(): Promise<Server> {
  const server = createServer();
  cleanups.push(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

describe("expectNoLeaks", () => {
  test("passes on what the body gives when everything is released, if need be a little later", async () => {
    const result = await expectNoLeaks(async () => {
      const child = await startIdleProcess();
      const server = await listen();
      const thread = new Worker("setInterval(() => {}, 1000)", { eval: true });
      const timer = setInterval(() => {}, 1000);
      void endProcess(child);
      server.close();
      void thread.terminate();
      clearInterval(timer);
      return 42;
    });
    expect(result).toBe(42);
  });

  test("passes on what the body throws", async () => {
    await expect(expectNoLeaks(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
  });

  test("names a child process", async () => {
    await expect(expectNoLeaks(() => startIdleProcess(), SHORT_MS)).rejects.toThrow(/process \d+ \(cat\)/);
  });

  test("names a socket that does not keep the process alive", async () => {
    const body = async () => (await listen()).unref();
    await expect(expectNoLeaks(body, SHORT_MS)).rejects.toThrow(/got these left over: open socket\.$/);
  });

  test("names a server, a timer and a worker thread", async () => {
    const body = async () => {
      await listen();
      const timer = setInterval(() => {}, 1000);
      cleanups.push(() => clearInterval(timer));
      const thread = new Worker("setInterval(() => {}, 1000)", { eval: true });
      cleanups.push(() => thread.terminate());
      thread.unref();
      await once(thread, "online");
    };
    const failure = expectNoLeaks(body, SHORT_MS);
    await expect(failure).rejects.toThrow("TCPServerWrap");
    await expect(failure).rejects.toThrow(/timer started at .*leaks\.test\.ts/);
    await expect(failure).rejects.toThrow(/worker thread \d+/);
  });
});

describe("after all tests", () => {
  test("a process that has lost its parent is known by its mark", async () => {
    const mark = `orphan-${process.pid}`;
    const parent = spawn("sh", ["-c", "sleep 1000 <&3 >/dev/null & echo $!"], {
      env: { ...process.env, [RUN_MARK]: mark },
      stdio: ["ignore", "pipe", "ignore", "pipe"],
    });
    const [chunk] = await once(parent.stdout!, "data");
    const orphan = Number(chunk);
    cleanups.push(() => process.kill(orphan, "SIGKILL"));
    await once(parent, "exit");
    expect(await findLeftProcesses(mark, SHORT_MS)).toEqual([`process ${orphan} (sleep 1000)`]);
  });

  test("nothing is reported when nothing is left", async () => {
    expect(await findLeftProcesses("no-such-run")).toEqual([]);
  });

  test("a key in Redis is named with its time to live", async () => {
    const namespace = uniqueNamespace();
    const redis = new Redis(inject("redisUrl"));
    cleanups.push(async () => {
      await redis.del(`${namespace}:a`, `${namespace}:b`);
      redis.disconnect();
    });
    expect(await findLeftKeys(inject("redisUrl"), `*${namespace}*`)).toEqual([]);
    await redis.mset(`${namespace}:a`, "1", `${namespace}:b`, "2");
    await redis.expire(`${namespace}:b`, 100);
    expect(await findLeftKeys(inject("redisUrl"), `*${namespace}*`, SHORT_MS)).toEqual([
      `${namespace}:a (for ever)`,
      expect.stringMatching(/:b \(for (99|100) s more\)$/),
    ]);
  });
});
