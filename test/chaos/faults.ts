/** Causes the faults of a schedule. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fleet } from "./fleet.ts";
import type { CausedFault } from "./hits.ts";
import type { LoadKind, LoadPlan } from "./loads.ts";
import type { ChaosRedis } from "./redis.ts";
import { type FaultKind, type PlannedFault, targetOf } from "./schedule.ts";

/** What faults are done to. */
export interface Site {
  readonly redis: ChaosRedis;
  readonly workers: Fleet;
  /** The programs that run flows. */
  readonly flows: Fleet;
  readonly mostWorkers: number;
  /** Where tasks that die once leave that they have. */
  readonly marks: string;
}

/** What was done: to which processes, since when, and in words. */
type Done = Omit<CausedFault, "kind" | "endedAt">;
type Cause = (site: Site, fault: PlannedFault, number: number) => Promise<Done>;

/** So low that every write is refused. */
const NO_MEMORY = "1";

/** Causes a fault, and resolves when it is over. */
export async function cause(site: Site, fault: PlannedFault, number: number): Promise<CausedFault> {
  const done = await CAUSES[fault.kind](site, fault, number);
  return { kind: fault.kind, ...done, endedAt: Date.now() };
}

const nobody = (): Done => ({ pids: [], startedAt: Date.now(), detail: "nobody was there" });

const CAUSES: Record<FaultKind, Cause> = {
  "worker-kill": ({ workers }, { target }) => kill(workers, target),
  "worker-pause": ({ workers }, { target, durationMs }) => pause(workers, target, durationMs),
  "worker-freeze": ({ workers }, { target, durationMs }) => pause(workers, target, durationMs),
  scale: async ({ workers, mostWorkers }, { target }) => {
    const before = workers.programs.length;
    const size = 1 + Math.floor(target * mostWorkers);
    const startedAt = Date.now();
    const pids = workers.scale(size).map(({ pid }) => pid);
    return { pids, startedAt, detail: `from ${before} workers to ${size}, without ${pids.join(", ")}` };
  },
  "redis-restart": ({ redis }, { durationMs }) => restart(redis, durationMs, false),
  "redis-restart-empty": ({ redis }, { durationMs }) => restart(redis, durationMs, true),
  "redis-pause": ({ redis }, { durationMs }) => pauseRedis(redis, durationMs),
  "redis-freeze": ({ redis }, { durationMs }) => pauseRedis(redis, durationMs),
  "connections-cut": ({ redis }) =>
    redis.exclusively(async () => {
      const admin = await redis.admin();
      const startedAt = Date.now();
      const cut = await Promise.all(
        ["normal", "pubsub"].map((type) => admin.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes")),
      );
      const detail = `${cut.reduce((a, b) => Number(a) + Number(b), 0)} connections`;
      return { pids: [redis.pid], startedAt, detail };
    }),
  "redis-full": ({ redis }, { durationMs }) =>
    redis.exclusively(async () => {
      const admin = await redis.admin();
      const startedAt = Date.now();
      await admin.config("SET", "maxmemory", NO_MEMORY);
      await sleep(durationMs);
      await admin.config("SET", "maxmemory", "0");
      return { pids: [redis.pid], startedAt, detail: `writes refused for ${durationMs} ms` };
    }),
  "flow-kill": ({ flows }, { target }) => kill(flows, target),
  "flow-pause": ({ flows }, { target, durationMs }) => pause(flows, target, durationMs),
  "flow-freeze": ({ flows }, { target, durationMs }) => pause(flows, target, durationMs),
  "task-exit": (site, fault, number) => runFlow(site, fault, "crash-exit", number),
  "task-heap": (site, fault, number) => runFlow(site, fault, "crash-heap", number),
  "task-abort": (site, fault, number) => runFlow(site, fault, "crash-abort", number),
  "task-endless": (site, fault, number) => runFlow(site, fault, "endless", number),
};

async function kill(fleet: Fleet, target: number): Promise<Done> {
  const victim = targetOf(fleet.programs, target);
  if (victim === undefined) return nobody();
  const startedAt = Date.now();
  fleet.kill(victim);
  await victim.exited;
  return { pids: [victim.pid], startedAt, detail: `${victim.name} ${victim.pid}` };
}

async function pause(fleet: Fleet, target: number, durationMs: number): Promise<Done> {
  const victim = targetOf(fleet.awake, target);
  if (victim === undefined) return nobody();
  const startedAt = Date.now();
  fleet.pause(victim);
  await sleep(durationMs);
  fleet.resume(victim);
  return { pids: [victim.pid], startedAt, detail: `${victim.name} ${victim.pid} for ${durationMs} ms` };
}

function restart(redis: ChaosRedis, downMs: number, isEmpty: boolean): Promise<Done> {
  return redis.exclusively(async () => {
    const startedAt = Date.now();
    const { pid } = redis;
    await redis.kill();
    if (isEmpty) redis.empty();
    await sleep(downMs);
    await redis.start();
    return { pids: [pid], startedAt, detail: `down for ${downMs} ms` };
  });
}

function pauseRedis(redis: ChaosRedis, durationMs: number): Promise<Done> {
  return redis.exclusively(async () => {
    const startedAt = Date.now();
    redis.pause();
    await sleep(durationMs);
    redis.resume();
    return { pids: [redis.pid], startedAt, detail: `for ${durationMs} ms` };
  });
}

/** Such a flow takes about as long as a task needs to be ended and executed again. */
const DEADLY_MS = 2_000;

async function runFlow(
  { flows, marks }: Site,
  { target }: PlannedFault,
  kind: LoadKind,
  number: number,
): Promise<Done> {
  const program = targetOf(flows.awake, target);
  if (program === undefined) return nobody();
  const startedAt = Date.now();
  const plan: LoadPlan = { kind, size: 10, mark: join(marks, String(number)) };
  program.child.stdin?.write(`${JSON.stringify(plan)}\n`);
  await sleep(DEADLY_MS);
  // Whom it hits says the task: see deaths.ts.
  return { pids: [], startedAt, detail: `by a task of ${program.name} ${program.pid}` };
}
