/** Whom the faults of a run hit, from when to when: pure functions of what was done and of what dying tasks left on disk. */
import {
  HEARTBEAT_MS,
  HEARTBEAT_TTL_MS,
  RUNNER_LEASE_MS,
  RUNNER_LEASE_RENEWAL_MS,
} from "../../packages/broker/src/intervals.ts";
import type { DyingTask } from "./deaths.ts";
import { FAULTS, type FaultKind } from "./schedule.ts";

/** A fault that came to pass. */
export interface CausedFault {
  readonly kind: FaultKind;
  /** The processes that it was done to. */
  readonly pids: readonly number[];
  readonly startedAt: number;
  /** When it was over: the process went on, Redis was there again. */
  readonly endedAt: number;
  /** What was done to whom. */
  readonly detail: string;
}

/** All that was done to a cluster. */
export interface Harm {
  readonly faults: readonly CausedFault[];
  readonly deaths: readonly DyingTask[];
}

/** A time in which somebody was hit so that calls are sent again. */
export interface Hit {
  readonly what: string;
  readonly from: number;
  readonly until: number;
}

/** What a worker that is told to go has not ended after this, it hands on. */
export const GRACE_SECONDS = 10;

/** The last heartbeat, or the last renewal of a lease, may be as old as the time between two when a silence begins. */
const HEARTBEAT_BEARS_MS = HEARTBEAT_TTL_MS - HEARTBEAT_MS;
const RUNNER_LEASE_BEARS_MS = RUNNER_LEASE_MS - RUNNER_LEASE_RENEWAL_MS;

/** What hit a worker's thread, so that its calls are executed elsewhere. */
export function hitsOnWorker(harm: Harm, { pid, thread }: { pid: number; thread: number }): Hit[] {
  const ends = harm.faults.filter(({ kind, pids }) => FAULTS[kind].effect === "ends" && pids.includes(pid));
  const retirements = harm.faults.filter(
    ({ kind, pids }) => FAULTS[kind].effect === "retires" && pids.includes(pid),
  );
  const deaths = harm.deaths.filter(
    (death) => death.pid === pid && (death.how === "abort" || death.thread === thread),
  );
  return [
    ...ends.map(hitOf),
    ...retirements.map((fault) => ({
      ...hitOf(fault),
      from: fault.startedAt + GRACE_SECONDS * 1000,
      until: Number.POSITIVE_INFINITY, // It begins nothing more.
    })),
    ...deaths.map(({ how, at }) => ({ what: `task-${how}`, from: at, until: Number.POSITIVE_INFINITY })),
    ...silencesOf(harm, pid).filter((hit) => lengthOf(hit) > HEARTBEAT_BEARS_MS),
  ];
}

/** What hit all that a flow's process had sent: the process itself, or Redis, which had it. */
export function hitsOnFlow(harm: Harm, flowPid: number): Hit[] {
  return [
    ...harm.faults.filter(({ kind }) => FAULTS[kind].effect === "restarts").map(hitOf),
    ...silencesOf(harm, flowPid).filter((hit) => lengthOf(hit) > RUNNER_LEASE_BEARS_MS),
  ];
}

/**
 * When a process heard nothing from Redis, and Redis nothing from it. Those that follow each other within a heartbeat are one: there
 * may have been none between them.
 */
export function silencesOf({ faults }: Harm, pid: number): Hit[] {
  const silences: Hit[] = [];
  for (const fault of faults.toSorted((a, b) => a.startedAt - b.startedAt)) {
    const { effect } = FAULTS[fault.kind];
    const isHit =
      effect === "silences" ? fault.pids.includes(pid) : /^(silences-all|restarts|cuts)$/.test(effect);
    if (!isHit) continue;
    const last = silences.at(-1);
    const hit = hitOf(fault);
    if (last === undefined || hit.from > last.until + HEARTBEAT_MS) silences.push(hit);
    else {
      const until = Math.max(last.until, hit.until);
      silences[silences.length - 1] = { what: `${last.what} and ${hit.what}`, from: last.from, until };
    }
  }
  return silences;
}

function hitOf({ kind, startedAt, endedAt }: CausedFault): Hit {
  return { what: kind, from: startedAt, until: endedAt };
}

function lengthOf({ from, until }: Hit): number {
  return until - from;
}
