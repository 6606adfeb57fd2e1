import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { RedisServerError } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { findRedisServer } from "./redis-executable.ts";
import { type RedisServer, type RedisServerOptions, startRedisServer } from "./redis-server.ts";

const installed = findRedisServer(process.env.PATH ?? "");
const WAIT = { timeout: 10_000, interval: 10 };

let parentDirectory: string;
const started: RedisServer[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  parentDirectory = await mkdtemp(join(tmpdir(), "mr-"));
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all(started.splice(0).map((server) => server.close()));
  await rm(parentDirectory, { recursive: true, force: true });
});

async function start(options: Partial<RedisServerOptions> = {}): Promise<RedisServer> {
  const server = await startRedisServer({ executable: redisExecutable(), parentDirectory, ...options });
  started.push(server);
  return server;
}

function redisExecutable(): string {
  if (installed === undefined) {
    throw new Error(
      "Expected redis-server or valkey-server on the PATH for these tests; install redis-server.",
    );
  }
  return installed;
}

/** Makes an executable shell script that stands for a Redis server. */
async function fakeServer(script: string): Promise<string> {
  const path = join(parentDirectory, "fake-redis-server");
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

function ask(url: string, command: string): Promise<string> {
  const socket = url.startsWith("unix://")
    ? createConnection(url.slice("unix://".length))
    : createConnection(Number(new URL(url).port), "127.0.0.1");
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("data", (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
    socket.write(`${command}\r\n`);
  });
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A process that ended stays in the table until its parent asks for it; the state follows the name in brackets.
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !/\) [ZX] /.test(status);
}

describe("findRedisServer", () => {
  test("takes the first executable of either name on the search path", async () => {
    const [first, second] = [join(parentDirectory, "first"), join(parentDirectory, "second")];
    await mkdir(first);
    await mkdir(second);
    await writeFile(join(first, "redis-server"), "not executable");
    await mkdir(join(first, "valkey-server"));
    await writeFile(join(second, "valkey-server"), "", { mode: 0o755 });
    const searchPath = ["", "relative", join(parentDirectory, "absent"), first, second].join(delimiter);
    expect(findRedisServer(searchPath)).toBe(join(second, "valkey-server"));
  });

  test("finds nothing on an empty search path", () => {
    expect(findRedisServer("")).toBeUndefined();
  });
});

describe("a started server", () => {
  test("answers over a unix socket that only its user can reach, keeps nothing on disk and evicts nothing", async () => {
    const server = await start();
    expect(server.url).toMatch(/^unix:\/\/\/.*\/redis\.sock$/);
    expect(await ask(server.url, "PING")).toBe("+PONG\r\n");
    expect(await ask(server.url, "CONFIG GET save")).toContain("$4\r\nsave\r\n$0\r\n");
    expect(await ask(server.url, "CONFIG GET appendonly")).toContain("\r\nno\r\n");
    expect(await ask(server.url, "CONFIG GET maxmemory-policy")).toContain("\r\nnoeviction\r\n");
    expect(await ask(server.url, "CONFIG GET port")).toContain("$1\r\n0\r\n");
    expect(await ask(server.url, "INFO server")).toContain(`process_id:${server.pid}\r\n`);

    const socketPath = server.url.slice("unix://".length);
    expect((await stat(dirname(socketPath))).mode & 0o777).toBe(0o700);
    expect((await stat(socketPath)).mode & 0o777).toBe(0o700);
  });

  test("leaves neither a process nor a directory when it is closed", async () => {
    const server = await start();
    await server.close();
    expect(await isAlive(server.pid)).toBe(false);
    expect(await readdir(parentDirectory)).toEqual([]);
    expect(await server.exited).toMatchObject({ code: 0, signal: undefined });
  });

  test("can be closed twice, at the same time and after the end", async () => {
    const server = await start();
    await Promise.all([server.close(), server.close()]);
    await server.close();
  });

  test("is killed when it does not stop in time", async () => {
    const server = await start({ closeGraceSeconds: 0.05 });
    process.kill(server.pid, "SIGSTOP");
    await server.close();
    expect(await server.exited).toMatchObject({ code: undefined, signal: "SIGKILL" });
    expect(await isAlive(server.pid)).toBe(false);
  });

  test("says how it ended when somebody else ends it", async () => {
    const server = await start();
    process.kill(server.pid, "SIGKILL");
    const exit = await server.exited;
    expect(exit).toMatchObject({ code: undefined, signal: "SIGKILL" });
    expect(exit.description).toMatch(
      /was ended by SIGKILL. Its last log lines:\n.*ready to accept connections/is,
    );
    await server.close();
    expect(await readdir(parentDirectory)).toEqual([]);
  });

  test("goes when its keeper is killed", async () => {
    const server = await start();
    const parent = await promisify(execFile)("ps", ["-o", "ppid=", "-p", String(server.pid)]);
    const keeper = Number(parent.stdout);
    process.kill(keeper, "SIGKILL");
    expect(await server.exited).toMatchObject({ signal: "SIGKILL" });
    await vi.waitUntil(async () => !(await isAlive(server.pid)), WAIT);
    expect(await readdir(parentDirectory)).toEqual([]);
  });

  test("listens on a port of the loopback interface when asked to, again and again", async () => {
    const port = await freePort();
    for (let round = 0; round < 2; round++) {
      const server = await start({ port });
      expect(server.url).toBe(`redis://127.0.0.1:${port}`);
      expect(await ask(server.url, "PING")).toBe("+PONG\r\n");
      await server.close();
    }
  });

  test("takes /tmp when the path of its socket would be too long", async () => {
    const deep = join(parentDirectory, "d".repeat(100));
    await mkdir(deep);
    const server = await start({ parentDirectory: deep });
    expect(server.url).toMatch(/^unix:\/\/\/tmp\/millrace-redis-/);
    expect(await readdir(deep)).toEqual([]);
  });

  test("can be reached when its directory has an unusual name", async () => {
    const odd = join(parentDirectory, "50% of #1");
    await mkdir(odd);
    const server = await start({ parentDirectory: odd });
    expect(await ask(server.url, "PING")).toBe("+PONG\r\n");
  });
});

describe("a server's owner", () => {
  /** Runs a process that starts a server, tells its pid and URL, and then does as `afterwards` says. */
  async function startOwner(afterwards: string) {
    const script = `
      import { startRedisServer } from ${JSON.stringify(new URL("./redis-server.ts", import.meta.url).href)};
      const [executable, parentDirectory] = process.argv.slice(1);
      const server = await startRedisServer({ executable, parentDirectory });
      process.stdout.write(JSON.stringify({ pid: server.pid, url: server.url }) + "\\n");
      ${afterwards}`;
    const child = spawn(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "--eval", script, redisExecutable(), parentDirectory],
      { cwd: fileURLToPath(new URL("..", import.meta.url)), stdio: ["ignore", "pipe", "inherit"] },
    );
    children.push(child);
    const exited = new Promise<[number | null, string | null]>((resolve) => {
      child.once("exit", (...end) => resolve(end));
    });
    const line = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout! }).once("line", resolve);
      void exited.then((end) =>
        reject(new Error(`The owner ended before it started a server: ${end.join(", ")}`)),
      );
    });
    const server: { pid: number; url: string } = JSON.parse(line);
    return { child, exited, server };
  }

  test("takes the server along when it is killed", async () => {
    const owner = await startOwner("setInterval(() => {}, 1000);");
    expect(await ask(owner.server.url, "PING")).toBe("+PONG\r\n");
    owner.child.kill("SIGKILL");
    await owner.exited;
    await vi.waitUntil(async () => !(await isAlive(owner.server.pid)), WAIT);
    await vi.waitUntil(async () => (await readdir(parentDirectory)).length === 0, WAIT);
  });

  test("ends by itself when it forgets to close the server, and takes the server along", async () => {
    const owner = await startOwner("");
    expect(await owner.exited).toEqual([0, null]);
    await vi.waitUntil(async () => !(await isAlive(owner.server.pid)), WAIT);
    await vi.waitUntil(async () => (await readdir(parentDirectory)).length === 0, WAIT);
  });
});

describe("a server that cannot be started", () => {
  async function failure(options: Partial<RedisServerOptions>): Promise<RedisServerError> {
    const error = await start(options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(RedisServerError);
    return error as RedisServerError;
  }

  test("is an error when the executable is missing", async () => {
    const { message } = await failure({ executable: "/nowhere/redis-server" });
    expect(message).toMatch(/got "\/nowhere\/redis-server": ENOENT.*Install/);
  });

  test("is an error when the path is relative", async () => {
    expect((await failure({ executable: "redis-server" })).message).toContain("a path that is not absolute");
  });

  test("is an error when the file cannot be executed", async () => {
    const executable = join(parentDirectory, "redis-server");
    await writeFile(executable, "");
    expect((await failure({ executable })).message).toContain("EACCES");
  });

  test("is an error that shows the log when the server exits early", async () => {
    const executable = await fakeServer("echo 'cannot find my config'; echo 'giving up' >&2; exit 3");
    const { message } = await failure({ executable });
    expect(message).toContain(`Expected ${executable} to start`);
    expect(message).toContain("it exited with code 3. Its last log lines:");
    expect(message).toContain("\n  cannot find my config");
    expect(message).toContain("\n  giving up");
    expect(message).toContain('choose `broker: "memory"`');
    expect(await readdir(parentDirectory)).toEqual(["fake-redis-server"]);
  });

  test("is an error that says what Redis says when the port is taken", async () => {
    const port = await freePort();
    await start({ port });
    expect((await failure({ port })).message).toMatch(/exited with code 1. .*[Aa]ddress already in use/s);
  });

  test("is an error when the server does not answer in time, and leaves nothing behind", async () => {
    const pidFile = join(parentDirectory, "pid");
    const executable = await fakeServer(`echo $$ >'${pidFile}'; kill -STOP $$`);
    const { message } = await failure({ executable, startTimeoutSeconds: 0.5, closeGraceSeconds: 0.05 });
    expect(message).toMatch(/within 0.5 s, got this: no answer to PING in time .*\. It logged nothing/);
    expect(await isAlive(Number(await readFile(pidFile, "utf8")))).toBe(false);
  });

  test("is an error on Windows", async () => {
    vi.spyOn(process, "platform", "get").mockReturnValue("win32");
    expect((await failure({})).message).toMatch(/got Windows, where it is not supported/);
  });
});

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
