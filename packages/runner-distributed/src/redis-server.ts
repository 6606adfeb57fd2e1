/**
 * A private Redis for one local cluster: a `redis-server` or `valkey-server` process that listens on a unix socket in
 * a directory of its own, keeps everything in memory, and never outlives the process that started it.
 *
 * Three processes take part. This one holds one end of a pipe. A small shell, the keeper, holds the other and has two
 * children: the server, and a watcher that blocks on the pipe. When this process ends, however it ends, the kernel
 * closes the pipe, the watcher kills the server, and the keeper removes the directory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { RedisServerError } from "@millrace/core";
import { keepLastLines } from "./last-lines.ts";
import { waitUntilAnswers } from "./redis-answers.ts";
import { checkCanStart } from "./redis-executable.ts";
import { type RedisServerExit, waitForExit } from "./redis-exit.ts";

export interface RedisServerOptions {
  /** Absolute path of a `redis-server` or `valkey-server`, such as findRedisServer gives. */
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

const SOCKET_NAME = "redis.sock";
/** The kernel's field for a socket path holds 104 bytes on macOS and 108 on Linux, with a closing zero. */
const MAX_SOCKET_PATH_BYTES = 103;

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

/** Reads the line in which the keeper says which process the server is. */
async function readPid(pipe: Duplex, exited: Promise<RedisServerExit>): Promise<number> {
  const line = await new Promise<string | undefined>((resolve) => {
    createInterface({ input: pipe }).once("line", resolve);
    void exited.then(() => resolve(undefined));
  });
  if (line === undefined) throw new Error("it ended at once.");
  return Number(line);
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
