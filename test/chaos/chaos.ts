/** One run of the chaos suite, from the start of its Redis to the look at what is left. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cause } from "./faults.ts";
import { Fleet } from "./fleet.ts";
import type { CausedFault } from "./hits.ts";
import {
  connectionsLeft,
  heldMore,
  holdingsOf,
  keysLeft,
  processesLeft,
  untilNoBatches,
} from "./leftovers.ts";
import { Monitor } from "./monitor.ts";
import type { ChaosOptions } from "./options.ts";
import type { Programs } from "./programs.ts";
import { ChaosRedis } from "./redis.ts";
import { describeViolation, type Result } from "./report.ts";
import { makeSchedule } from "./schedule.ts";
import {
  problemWithFlowProgram,
  problemWithWorker,
  startFlowProgram,
  startWorker,
} from "./tested-programs.ts";

/** What a flow's process leaves in Redis when it dies goes after a lease of 15 s and a renewal of 5 s; until then a worker may have work of it. */
const OWNER_LEASE_MS = 20_000;

/**
 * Before the first fault, flows of each kind end: only then do workers hold all that they hold when all is well, since some
 * kinds need a connection of their own. At 7 flows in a second the rarest kind, one in 24, comes within 15 s.
 */
const CALM_MS = 60_000;

/** A flow takes seconds; behind the last fault, those that run have this long to end. */
const DRAIN_MS = 90_000;

/** What the dead have left in Redis goes within their lease, and kept results too: 20 s, and what a busy machine adds. */
const KEYS_LEFT_MS = OWNER_LEASE_MS + 10_000;

/** What ends in the background, such as a thread that is replaced, has ended after this. */
const RELEASE_MS = 10_000;

const LOOK_MS = 250;

export async function runChaos(
  options: ChaosOptions,
  directory: string,
  journals: string,
  programs: Programs,
): Promise<Result> {
  const [observations, marks] = ["observations", "marks"].map((name) => join(directory, name)) as [
    string,
    string,
  ];
  for (const path of [observations, marks]) mkdirSync(path);
  const redis = new ChaosRedis(directory, programs, options.fsync);
  await redis.start();
  const monitor = new Monitor(observations, journals, OWNER_LEASE_MS);
  const workers = new Fleet({
    start: (number) => startWorker(programs, redis, number),
    stop: ({ child }) => child.kill("SIGTERM"),
    onExit: problemWithWorker,
  });
  const flows = new Fleet({
    start: (number) => startFlowProgram(programs, redis, observations, options, number),
    stop: ({ child }) => child.stdin?.end(),
    onExit: (ending) => {
      if (ending.isKilled) monitor.programKilled(ending.program.pid);
      return problemWithFlowProgram(ending);
    },
  });
  const problems: string[] = [];

  // All is well.
  workers.scale(Math.min(2, options.workers));
  flows.scale(options.programs);
  const looking = setInterval(() => monitor.look(), LOOK_MS);
  const isCalm = () => monitor.haveEnded(options.loads);
  await waitUntil(isCalm, CALM_MS);
  if (!isCalm()) throw new Error("Expected flows of each kind to end while all is well, they do not.");
  const atFirst = workers.programs.map(({ pid }) => holdingsOf(pid)).filter((held) => held !== undefined);

  // Faults.
  const startedAt = Date.now();
  const caused: CausedFault[] = [];
  const underWay: Promise<void>[] = [];
  const site = { redis, workers, flows, marks, mostWorkers: options.workers };
  const durationMs = options.minutes * 60_000;
  const schedule = makeSchedule({ ...options, durationMs });
  console.error(
    `Seed ${options.seed}: ${schedule.length} faults in ${options.minutes} minutes; ${directory}.`,
  );
  for (const [number, fault] of schedule.entries()) {
    await sleep(Math.max(0, startedAt + fault.atMs - Date.now()));
    underWay.push(
      cause(site, fault, number).then(
        (done) => {
          caused.push(done);
          monitor.faultCaused(done);
        },
        (error: unknown) => void problems.push(`${fault.kind} could not be caused: ${String(error)}`),
      ),
    );
  }
  await sleep(Math.max(0, startedAt + durationMs - Date.now()));
  await Promise.all(underWay);

  // The end.
  const drained = flows.close();
  await Promise.race([drained, sleep(DRAIN_MS, undefined, { ref: false })]);
  if (flows.left.length > 0) {
    problems.push(`a flow program did not end within ${DRAIN_MS / 1000} s`);
    monitor.look();
    monitor.hasHung();
    for (const program of flows.left) flows.kill(program);
    await drained;
  }
  const more = () => workers.programs.flatMap((program) => heldMore(program, atFirst));
  await waitUntil(() => more().length === 0, RELEASE_MS);
  problems.push(...more());
  const admin = await redis.admin();
  await untilNoBatches(admin, 2 * OWNER_LEASE_MS);
  await workers.close();
  clearInterval(looking);
  problems.push(...(await keysLeft(admin, KEYS_LEFT_MS)).map((key) => `key left in Redis: ${key}`));
  const connections = await connectionsLeft(admin);
  if (connections > 0) problems.push(`${connections} connections to Redis are left`);
  monitor.look(true);
  const left = processesLeft(programs.mark).filter((pid) => pid !== redis.pid);
  if (left.length > 0) problems.push(`processes are left: ${left.join(", ")}`);
  await redis.close();
  problems.push(...workers.problems, ...flows.problems);

  for (const violation of monitor.violations)
    console.error(`\n${describeViolation(violation, caused, startedAt)}`);
  const { seed, minutes } = options;
  const { figures, violations } = monitor;
  return { seed, minutes, faults: countKinds(caused), figures, violations, problems };
}

// ---- Small things ------------------------------------------------------------------------------------------------

function countKinds(faults: readonly CausedFault[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of faults) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Waits until it holds, or for so long. */
async function waitUntil(holds: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!holds() && Date.now() < deadline) await sleep(LOOK_MS);
}
