/** Which faults come when: a pure function of the seed, so that a run can be made again. */
import { Random } from "./random.ts";

/** Processes end; are stopped for a while; end when they have done what they began; Redis is another run of itself; nobody hears anything from Redis; connections end; a flow is started. */
export type Effect = "ends" | "silences" | "retires" | "restarts" | "silences-all" | "cuts" | "starts-task";

/**
 * The kinds of faults. `copies`: how many of each are in the deck that they are dealt from. `durationMs`: for how long one lasts, at least
 * and at most; 0 for one that is done at once. `effect`: what it does to whom it hits, which decides whether calls may be executed again because
 * of it: see hits.ts.
 */
export const FAULTS = {
  /** SIGKILL of a worker process. */
  "worker-kill": { copies: 3, durationMs: [0, 0], effect: "ends" },
  /** SIGSTOP, and SIGCONT. */
  "worker-pause": { copies: 2, durationMs: [200, 3_000], effect: "silences" },
  "worker-freeze": { copies: 1, durationMs: [6_500, 12_000], effect: "silences" },
  /** Another number of workers: by SIGTERM, or by new processes. */
  scale: { copies: 2, durationMs: [0, 0], effect: "retires" },
  /** SIGKILL of Redis, and a start with its append-only file. */
  "redis-restart": { copies: 2, durationMs: [0, 3_000], effect: "restarts" },
  /** The same, with nothing. */
  "redis-restart-empty": { copies: 1, durationMs: [0, 3_000], effect: "restarts" },
  "redis-pause": { copies: 1, durationMs: [200, 3_000], effect: "silences-all" },
  /** Longer than heartbeats live: to a Redis that comes back all workers seem dead. */
  "redis-freeze": { copies: 1, durationMs: [5_500, 8_000], effect: "silences-all" },
  /** CLIENT KILL: every connection is cut. */
  "connections-cut": { copies: 2, durationMs: [0, 0], effect: "cuts" },
  /** CONFIG SET maxmemory: Redis refuses all writes. */
  "redis-full": { copies: 1, durationMs: [200, 3_000], effect: "silences-all" },
  /** SIGKILL of a flow's process. */
  "flow-kill": { copies: 1, durationMs: [0, 0], effect: "ends" },
  "flow-pause": { copies: 1, durationMs: [200, 3_000], effect: "silences" },
  "flow-freeze": { copies: 1, durationMs: [6_500, 20_000], effect: "silences" },
  /** A task ends its thread, or its process, the first time it runs: so a flow is started that has one. */
  "task-exit": { copies: 1, durationMs: [0, 0], effect: "starts-task" },
  "task-heap": { copies: 1, durationMs: [0, 0], effect: "starts-task" },
  "task-abort": { copies: 1, durationMs: [0, 0], effect: "starts-task" },
  /** A task computes past its time limit, so that its thread is ended: the others in it are executed again. */
  "task-endless": { copies: 1, durationMs: [0, 0], effect: "starts-task" },
} as const satisfies Record<
  string,
  { copies: number; durationMs: readonly [number, number]; effect: Effect }
>;

export type FaultKind = keyof typeof FAULTS;

export const FAULT_KINDS = Object.keys(FAULTS) as readonly FaultKind[];

export interface PlannedFault {
  /** From the start of the run. */
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly durationMs: number;
  /** Who is hit, of those that are there then: 0 is the first, and just below 1 the last. */
  readonly target: number;
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly meanGapMs: number;
  readonly kinds: readonly FaultKind[];
}

/** Each kind comes as often as it has copies, in an order that is never the same: dealt from a deck, which is shuffled when it is empty. */
export function makeSchedule({ seed, durationMs, meanGapMs, kinds }: ScheduleOptions): PlannedFault[] {
  const random = new Random(seed);
  const deck = kinds.flatMap((kind) => Array.from({ length: FAULTS[kind].copies }, () => kind));
  if (deck.length === 0) return [];
  const faults: PlannedFault[] = [];
  let dealt: FaultKind[] = [];
  for (let atMs = random.gap(meanGapMs); atMs < durationMs; atMs += random.gap(meanGapMs)) {
    if (dealt.length === 0) dealt = random.shuffled(deck);
    const kind = dealt.pop() as FaultKind;
    const [least, most] = FAULTS[kind].durationMs;
    faults.push({
      ...{ atMs: Math.round(atMs), kind },
      ...{ durationMs: random.between(least, most), target: random.next() },
    });
  }
  return faults;
}

/** One of those that are there, by the place that a fault was given. */
export function targetOf<T>(those: readonly T[], target: number): T | undefined {
  return those[Math.floor(target * those.length)];
}
