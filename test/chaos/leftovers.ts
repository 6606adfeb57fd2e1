/** What is left when everything has ended: keys in Redis, and threads and sockets of processes. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { RUN_MARK } from "../support/leaks.ts";
import type { Program } from "./programs.ts";

/** What a queue consists of when nobody uses it: see keys.ts of the broker. */
const QUEUE_ITSELF = /:default:(meta|id|events|marker)$/;

const POLL_MS = 250;

/** Waits until no key is left that should not be, and names those that are. What the dead have left goes within `timeoutMs`. */
export async function keysLeft(redis: Redis, timeoutMs: number): Promise<string[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const left: string[] = [];
    for (const key of (await redis.keys("*")).filter((key) => !QUEUE_ITSELF.test(key))) {
      const seconds = await redis.ttl(key);
      if (seconds !== -2) left.push(seconds === -1 ? `${key}, for ever` : `${key}, for ${seconds} s more`);
    }
    if (left.length === 0 || Date.now() > deadline) return left.sort();
    await sleep(POLL_MS);
  }
}

/** Waits until the workers have taken out the batches of flows whose process was killed: see orphans.ts of the broker. */
export async function untilNoBatches(redis: Redis, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const isBatch = (key: string) => /:default:[\da-f-]{36}\.\d+/.test(key);
  while (Date.now() < deadline && (await redis.keys("*")).some(isBatch)) await sleep(POLL_MS);
}

/** How many connections there are besides the one that asks. */
export async function connectionsLeft(redis: Redis): Promise<number> {
  return (
    String(await redis.client("LIST"))
      .trim()
      .split("\n").length - 1
  );
}

export interface Holdings {
  readonly threads: number;
  readonly sockets: number;
}

/** What a process holds. Undefined where there is no /proc, or when it has ended. */
export function holdingsOf(pid: number): Holdings | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).length;
    const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    return { threads, sockets: targets.filter((target) => target.startsWith("socket:")).length };
  } catch {
    return undefined;
  }
}

/** Whether a worker holds more than any did when all was well. */
export function heldMore(program: Program, atFirst: readonly Holdings[]): string[] {
  const held = holdingsOf(program.pid);
  if (held === undefined || atFirst.length === 0) return [];
  return (["threads", "sockets"] as const).flatMap((what) => {
    // A worker has one connection more once a large value has come to it.
    const most = Math.max(...atFirst.map((other) => other[what])) + (what === "sockets" ? 1 : 0);
    return held[what] > most
      ? [`${program.name} holds ${held[what]} ${what}, and held ${most} at first`]
      : [];
  });
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // Closed since.
  }
}

/** The processes that were started with a mark, or that such a process started. Empty where there is no /proc. */
export function processesLeft(mark: string): number[] {
  const pids = directoryOf("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => environmentOf(pid).includes(`${RUN_MARK}=${mark}`)).map(Number);
}

function directoryOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function environmentOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return []; // Somebody else's, or it has ended.
  }
}
