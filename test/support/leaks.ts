/**
 * Finds what tests leave behind: child processes, worker threads, sockets, timers, keys in Redis. What is released in
 * the background may still be on its way out when a test ends, so each check waits until it has gone, up to a bound.
 *
 * Processes and open sockets are read from /proc; where there is none (macOS), the rest is still checked.
 */
import { createHook } from "node:async_hooks";
import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Worker } from "node:worker_threads";

const DEFAULT_TIMEOUT_MS = 5000;
const POLL_INTERVAL_MS = 10;

// ---- Inside a test -----------------------------------------------------------------------------------------------

export interface ResourceSnapshot {
  /** How many there are of each kind of resource, by a name for people. */
  readonly counts: ReadonlyMap<string, number>;
  /** The timers started since. */
  readonly timers: TimerWatch;
}

/** Runs `body`, and throws when it leaves something open or running. */
export async function expectNoLeaks<R>(body: () => Promise<R>, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<R> {
  const before = await snapshotResources();
  try {
    const result = await body();
    await expectReleased(before, timeoutMs);
    return result;
  } finally {
    before.timers.end();
  }
}

/** What this process holds now. For hooks: take it in `beforeEach`, and give it to {@link expectReleased} after. */
export async function snapshotResources(): Promise<ResourceSnapshot> {
  return { counts: await countResources(), timers: watchTimers() };
}

/** Waits until nothing is held that was not held before; throws with the names of what still is. */
export async function expectReleased(
  before: ResourceSnapshot,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<void> {
  before.timers.stopRecording();
  const leaked = await waitUntilEmpty(
    async () => [...newResources(before.counts, await countResources()), ...before.timers.live()],
    timeoutMs,
  );
  before.timers.end();
  if (leaked.length === 0) return;
  throw new Error(
    `Expected everything that was started to have ended ${timeoutMs / 1000} s after it was closed, got these left ` +
      `over: ${leaked.join(", ")}.`,
  );
}

async function countResources(): Promise<Map<string, number>> {
  const names = [
    ...process.getActiveResourcesInfo().filter((name) => !PASSING_RESOURCE.test(name)),
    ...[...liveThreads].map((thread) => `worker thread ${thread.threadId}`),
    ...(await openSockets()),
    ...(await descendantsOf(process.pid)).map(describeProcess),
  ];
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/**
 * Requests, such as those of the checks' own reading of files, end by themselves. Vitest, too, has timers that come and
 * go, so timers are not counted but followed: see {@link watchTimers}.
 */
const PASSING_RESOURCE = /Req|^Timeout$|^Immediate$/;

function newResources(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] {
  const leaked: string[] = [];
  for (const [name, count] of after) {
    const more = count - (before.get(name) ?? 0);
    if (more > 0) leaked.push(more === 1 ? name : `${more} × ${name}`);
  }
  return leaked;
}

interface TimerWatch {
  /** Names the timers that were recorded and have neither fired nor been cleared. */
  live(): string[];
  /** Records no more timers, and goes on noticing the end of those that it has. */
  stopRecording(): void;
  end(): void;
}

/** Follows each timer started from now on, with the place where it was. */
function watchTimers(): TimerWatch {
  const places = new Map<number, string>();
  let recording = true;
  const hook = createHook({
    init(id, type) {
      if (!recording || type !== "Timeout") return;
      const caller = callerOutsideNode();
      if (!VITEST.test(caller)) places.set(id, `timer started ${caller}`);
    },
    destroy(id) {
      places.delete(id);
    },
  }).enable();
  return {
    live: () => [...places.values()],
    stopRecording: () => {
      recording = false;
    },
    end: () => {
      hook.disable();
    },
  };
}

/** Vitest times the tests and hooks between a snapshot and its check. */
const VITEST = /node_modules\/(@vitest|vitest)\//;

function callerOutsideNode(): string {
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  const caller = frames.find((frame) => !frame.includes("node:") && !frame.includes(import.meta.filename));
  return caller?.trim() ?? "inside Node";
}

/** The worker threads that were started after this module was loaded, by whatever library, and have not ended. */
const liveThreads = new Set<Worker>();
process.on("worker", (thread: Worker) => {
  liveThreads.add(thread);
  thread.once("exit", () => liveThreads.delete(thread));
});

/** Open sockets, also those that do not keep the process alive, which Node does not list among its resources. */
async function openSockets(): Promise<string[]> {
  const directory = "/proc/self/fd";
  const descriptors = await readdir(directory).catch(() => []);
  const targets = await Promise.all(
    descriptors.map((name) => readlink(`${directory}/${name}`).catch(() => "")),
  );
  return targets.filter((target) => target.startsWith("socket:")).map(() => "open socket");
}

// ---- After all tests ---------------------------------------------------------------------------------------------

/** The environment variable by which the processes of one run of the tests are known; its value is the run's id. */
export const RUN_MARK = "MILLRACE_TEST_RUN";

/** Waits until no process of the run is left but this one and Vitest's own; returns a line for each that is. */
export function findLeftProcesses(runId: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<string[]> {
  return waitUntilEmpty(async () => {
    const left: ProcessInfo[] = [];
    const descendants = new Set((await descendantsOf(process.pid)).map(({ pid }) => pid));
    for (const info of await listProcesses()) {
      if (info.pid === process.pid || /node_modules\/vitest\//.test(info.command)) continue;
      // A process whose parent died is nobody's descendant any more, but it keeps the mark that it was started with.
      if (descendants.has(info.pid) || (await hasMark(info.pid, runId))) left.push(info);
    }
    return left.map(describeProcess);
  }, timeoutMs);
}

/** Waits until no key is left that matches `pattern`; returns the names of those that are, with their time to live. */
export async function findLeftKeys(
  redisUrl: string,
  pattern: string,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<string[]> {
  const { Redis } = await import("ioredis");
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
  redis.on("error", () => {});
  try {
    return await waitUntilEmpty(async () => {
      const keys: string[] = [];
      for await (const batch of redis.scanStream({ match: pattern, count: 1000 })) keys.push(...batch);
      return Promise.all(
        [...new Set(keys)].sort().map(async (key) => {
          const ttlSeconds = await redis.ttl(key);
          return ttlSeconds === -1 ? `${key} (for ever)` : `${key} (for ${ttlSeconds} s more)`;
        }),
      );
    }, timeoutMs);
  } finally {
    redis.disconnect();
  }
}

// ---- Processes ---------------------------------------------------------------------------------------------------

interface ProcessInfo {
  readonly pid: number;
  readonly parentPid: number;
  readonly command: string;
}

function describeProcess({ pid, command }: ProcessInfo): string {
  return `process ${pid} (${command.length > 120 ? `${command.slice(0, 117)}...` : command})`;
}

async function descendantsOf(pid: number): Promise<ProcessInfo[]> {
  const all = await listProcesses();
  const descendants: ProcessInfo[] = [];
  const parents = [pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const info of all) {
      if (info.parentPid !== parent) continue;
      descendants.push(info);
      parents.push(info.pid);
    }
  }
  return descendants;
}

/** The processes of this machine that have not ended. Empty where there is no /proc. */
async function listProcesses(): Promise<ProcessInfo[]> {
  const names = await readdir("/proc").catch(() => []);
  const infos = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map(readProcess));
  return infos.filter((info) => info !== undefined);
}

async function readProcess(pid: string): Promise<ProcessInfo | undefined> {
  try {
    const [status, commandLine] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile(`/proc/${pid}/cmdline`, "utf8"),
    ]);
    // The name in brackets may hold anything; state and parent follow the last bracket.
    const [, name, state, parentPid] = /\((.*)\) (\S) (\d+)/s.exec(status) ?? [];
    if (state === undefined || state === "Z" || state === "X") return undefined;
    const command = commandLine.split("\0").join(" ").trim() || `[${name}]`;
    return { pid: Number(pid), parentPid: Number(parentPid), command };
  } catch {
    // It ended while it was being read.
    return undefined;
  }
}

async function hasMark(pid: number, runId: string): Promise<boolean> {
  // Not readable: it belongs to somebody else, or has ended.
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  return environment.split("\0").includes(`${RUN_MARK}=${runId}`);
}

async function waitUntilEmpty(look: () => Promise<string[]>, timeoutMs: number): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const left = await look();
    if (left.length === 0 || performance.now() >= deadline) return left;
    await delay(POLL_INTERVAL_MS);
  }
}
