/**
 * A private Redis for one local cluster: a `redis-server` or `valkey-server` process that listens on a unix socket in
 * a directory of its own, keeps everything in memory, and never outlives the process that started it.
 *
 * Three processes take part. This one holds one end of a pipe. A small shell, the keeper, holds the other and has two
 * children: the server, and a watcher that blocks on the pipe. When this process ends, however it ends, the kernel
 * closes the pipe, the watcher kills the server, and the keeper removes the directory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { constants as osConstants, tmpdir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex, Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { RedisServerError } from "@millrace/core";

export interface RedisServerOptions {
  /** Absolute path of a `redis-server` or `valkey-server`, such as {@link findRedisServer} gives. */
  readonly executable: string;
  /** A TCP port of the loopback interface to listen on as well; `url` then names it. Default: the unix socket alone. */
  readonly port?: number;
  /** How long the server may take until it answers. Default: 10. A start takes about 0.05 s. */
  readonly startTimeoutSeconds?: number;
  /** How long `close()` waits after SIGTERM before it sends SIGKILL. Default: 5. */
  readonly closeGraceSeconds?: number;
  /** Where the server's own directory is made. Default: the system's temporary directory. */
  readonly parentDirectory?: string;
  /** The directory of a server that has gone, whose place this one takes: it has the same URL. Default: a new one. */
  readonly directory?: string;
}

export interface RedisServer {
  /** `unix://` and the socket's path as it is, or `redis://127.0.0.1:PORT` when a port was asked for. */
  readonly url: string;
  readonly pid: number;
  readonly executable: string;
  /** Its own: it goes with the server. */
  readonly directory: string;
  /** Settles when the server has gone, whether asked to or not. Never rejects. */
  readonly exited: Promise<RedisServerExit>;
  /** Stops the server and removes its directory. Safe to call again, and after the server died. */
  close(): Promise<void>;
}

export interface RedisServerExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** What happened as a sentence, with the server's last log lines. */
  readonly description: string;
}

const SERVER_NAMES = ["redis-server", "valkey-server"];
const SOCKET_NAME = "redis.sock";
/** The kernel's field for a socket path holds 104 bytes on macOS and 108 on Linux, with a closing zero. */
const MAX_SOCKET_PATH_BYTES = 103;
const KEPT_LOG_LINES = 20;
const PING_INTERVAL_MS = 5;

/**
 * The shell that keeps the server; its arguments are the directory, then the server's command. File descriptor 3 is
 * the pipe to the process that started it: out goes the server's pid, and nothing ever comes in but the end.
 * The watcher uses SIGKILL, since nobody is left who could wait for a graceful end, and there is nothing to save.
 * The keeper falls silent before it waits, so that the log holds the server's words alone.
 */
const KEEPER = `
directory=$1; shift
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -KILL "$server"; } >/dev/null 2>&1 &
watcher=$!
exec >/dev/null 2>&1
echo "$server" >&3
wait "$server"; code=$?
kill -KILL "$watcher"; wait "$watcher"
rm -rf -- "$directory"
exit "$code"
`;

/** Finds a Redis server in the directories of `searchPath` (the value of PATH); the first one wins. */
export function findRedisServer(searchPath: string): string | undefined {
  for (const directory of searchPath.split(delimiter)) {
    if (!isAbsolute(directory)) continue;
    for (const name of SERVER_NAMES) {
      const candidate = join(directory, name);
      if (reasonNotExecutable(candidate) === undefined) return candidate;
    }
  }
  return undefined;
}

/** Starts a private Redis server and waits until it answers. Throws RedisServerError when it does not. */
export async function startRedisServer(options: RedisServerOptions): Promise<RedisServer> {
  const { executable, port = 0, startTimeoutSeconds = 10, closeGraceSeconds = 5 } = options;
  checkCanStart(executable);

  const directory = await makeDirectory(options);
  const socketPath = join(directory, SOCKET_NAME);
  const keeper = spawn(
    "/bin/sh",
    ["-c", KEEPER, "sh", directory, executable, ...serverArguments(socketPath, port)],
    {
      cwd: directory,
      // A session of its own: Ctrl-C in the terminal must not stop Redis before those who use it have stopped.
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    },
  );
  const pipe = keeper.stdio[3] as Duplex;
  // The pipe breaks when the keeper dies first; `exited` tells that story.
  pipe.on("error", () => {});
  const log = keepLastLines(keeper.stdout!, keeper.stderr!);
  // If only the keeper was killed, its watcher is still there, and ends the server when the pipe closes.
  keeper.once("exit", () => pipe.destroy());
  const exited = waitForExit(keeper, executable, log).then(async (exit) => {
    await rm(directory, { recursive: true, force: true }).catch(() => {});
    return exit;
  });

  let pid: number | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= stop(keeper, () => pid, exited, closeGraceSeconds);
    return closing;
  };

  try {
    pid = await readPid(pipe, exited);
    await waitUntilAnswers(socketPath, exited, startTimeoutSeconds);
  } catch (error) {
    await close();
    const reason = error instanceof Error ? error.message : String(error);
    throw new RedisServerError(
      `Expected ${executable} to start and to answer within ${startTimeoutSeconds} s, got this: ${reason}${log.text()}\n` +
        "Start it by hand to see whether it works, or give the runner a Redis of yours with `redis`, or choose " +
        '`broker: "memory"`.',
    );
  }

  // From here on an idle server does not keep a program alive that has nothing else to do.
  for (const handle of [keeper, pipe, keeper.stdout, keeper.stderr]) unref(handle);
  const url = port === 0 ? `unix://${socketPath}` : `redis://127.0.0.1:${port}`;
  return { url, pid, executable, directory, exited, close };
}

function checkCanStart(executable: string): void {
  if (process.platform === "win32") {
    throw new RedisServerError(
      "Expected Linux or macOS for a private Redis server, got Windows, where it is not supported. Give the runner a " +
        'Redis of yours with `redis`, or choose `broker: "memory"`.',
    );
  }
  const reason = isAbsolute(executable) ? reasonNotExecutable(executable) : "a path that is not absolute";
  if (reason === undefined) return;
  throw new RedisServerError(
    `Expected the path of a redis-server or valkey-server that can be run, got "${executable}": ${reason}. Install ` +
      'one (such as with `apt-get install redis-server` or `brew install redis`), or choose `broker: "memory"`.',
  );
}

function reasonNotExecutable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile() ? undefined : "not a file";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Makes a directory that only this user can enter, in a place where the socket's path is short enough. */
async function makeDirectory({
  directory,
  parentDirectory: parent = tmpdir(),
}: RedisServerOptions): Promise<string> {
  if (directory !== undefined) {
    await mkdir(directory, { mode: 0o700 });
    return directory;
  }
  const example = join(parent, "millrace-redis-XXXXXX", SOCKET_NAME);
  const fits = Buffer.byteLength(example) <= MAX_SOCKET_PATH_BYTES;
  return mkdtemp(join(fits ? parent : "/tmp", "millrace-redis-"));
}

function serverArguments(socketPath: string, port: number): string[] {
  const settings: Record<string, string> = {
    port: String(port),
    bind: "127.0.0.1",
    unixsocket: socketPath,
    unixsocketperm: "700",
    save: "",
    appendonly: "no",
    "maxmemory-policy": "noeviction",
    daemonize: "no",
    logfile: "",
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

interface LastLines {
  /** The kept lines, each on a line of its own, or a remark that there are none. */
  text(): string;
}

function keepLastLines(...streams: Readable[]): LastLines {
  const lines: string[] = [];
  for (const stream of streams) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      if (lines.length > KEPT_LOG_LINES) lines.shift();
    });
  }
  return {
    text: () =>
      lines.length === 0
        ? " It logged nothing."
        : ` Its last log lines:\n${lines.map((line) => `  ${line}`).join("\n")}`,
  };
}

/** Settles once the keeper has ended and nobody writes to its log any more, so that the server has gone as well. */
function waitForExit(keeper: ChildProcess, executable: string, log: LastLines): Promise<RedisServerExit> {
  return new Promise((resolve) => {
    keeper.once("error", (error) => {
      resolve({
        code: undefined,
        signal: undefined,
        description: `/bin/sh could not be started: ${error.message}.`,
      });
    });
    keeper.once("close", (status, keeperSignal) => {
      // A shell reports a child that a signal ended as 128 and the number of the signal.
      const signal = keeperSignal ?? signalName((status ?? 0) - 128);
      const code = signal === undefined ? (status ?? undefined) : undefined;
      const end = signal === undefined ? `exited with code ${code}` : `was ended by ${signal}`;
      resolve({ code, signal, description: `${executable} ${end}.${log.text()}` });
    });
  });
}

function signalName(number: number): string | undefined {
  return Object.entries(osConstants.signals).find(([, value]) => value === number)?.[0];
}

/** Reads the line in which the keeper says which process the server is. */
async function readPid(pipe: Duplex, exited: Promise<RedisServerExit>): Promise<number> {
  const line = await new Promise<string | undefined>((resolve) => {
    createInterface({ input: pipe }).once("line", resolve);
    void exited.then(() => resolve(undefined));
  });
  if (line === undefined) throw new Error("it ended at once.");
  return Number(line);
}

async function waitUntilAnswers(
  socketPath: string,
  exited: Promise<RedisServerExit>,
  timeoutSeconds: number,
): Promise<void> {
  let exit: RedisServerExit | undefined;
  void exited.then((value) => {
    exit = value;
  });
  const deadline = performance.now() + timeoutSeconds * 1000;
  let lastReply = "no connection";
  while (exit === undefined) {
    const remainingMs = deadline - performance.now();
    if (remainingMs <= 0) throw new Error(`no answer to PING in time (last: ${lastReply}).`);
    lastReply = await ping(socketPath, remainingMs);
    if (lastReply === "+PONG") return;
    await delay(PING_INTERVAL_MS);
  }
  throw new Error(endOf(exit));
}

function endOf(exit: RedisServerExit): string {
  return exit.signal === undefined ? `it exited with code ${exit.code}.` : `it was ended by ${exit.signal}.`;
}

/** The first line that the server answers to PING, or why there is none. Never rejects. */
function ping(socketPath: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => socket.write("PING\r\n"));
    let reply = "";
    const settle = (text: string): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(timeoutMs, () => settle("no reply"));
    socket.on("error", (error) => settle(error.message));
    socket.on("close", () => settle("connection closed"));
    socket.on("data", (chunk) => {
      reply += chunk.toString("latin1");
      const end = reply.indexOf("\r\n");
      if (end !== -1) settle(reply.slice(0, end));
    });
  });
}

async function stop(
  keeper: ChildProcess,
  pid: () => number | undefined,
  exited: Promise<RedisServerExit>,
  graceSeconds: number,
): Promise<void> {
  keeper.ref();
  signalServer(keeper, pid(), "SIGTERM");
  const grace = setTimeout(() => signalServer(keeper, pid(), "SIGKILL"), graceSeconds * 1000);
  await exited;
  clearTimeout(grace);
}

function signalServer(keeper: ChildProcess, pid: number | undefined, signal: NodeJS.Signals): void {
  if (keeper.exitCode !== null || keeper.signalCode !== null) return;
  try {
    process.kill(pid ?? keeper.pid!, signal);
  } catch {
    // It ended between the check and the signal.
  }
}

function unref(handle: unknown): void {
  (handle as { unref?(): void } | null)?.unref?.();
}
