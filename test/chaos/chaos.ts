/** One run of the chaos suite, from the start of its Redis to the look at what is left. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cause } from "./faults.ts";
import { type Ending, Fleet } from "./fleet.ts";
import type { FlowProgramOptions } from "./flow-program.ts";
import { connectionsLeft, type Holdings, holdingsOf, keysLeft, processesLeft } from "./leftovers.ts";
import { Monitor } from "./monitor.ts";
import type { ChaosOptions } from "./options.ts";
import { type Program, type Programs, ROOT } from "./programs.ts";
import { ChaosRedis } from "./redis.ts";
import { describeViolation, type Result } from "./report.ts";
import { makeSchedule } from "./schedule.ts";
import type { CausedFault } from "./verdict.ts";

const NAMESPACE = "chaos";
const CLI = join(ROOT, "packages/millrace/dist/cli.js");
const FLOW_PROGRAM = join(ROOT, "test/chaos/flow-program.ts");
const GRACE_SECONDS = 10;

/** What a flow's process leaves in Redis when it dies goes after a minute; until then a worker may have work of it. */
const OWNER_LEASE_MS = 20_000;

/** Flows that end before the first fault: so many show what workers hold when all is well. */
const CALM_FLOWS = 10;
const CALM_MS = 30_000;

/** A flow takes seconds; behind the last fault, those that run have this long to end. */
const DRAIN_MS = 90_000;

/** What the dead have left in Redis goes within a minute; kept results sooner. */
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
  await waitUntil(() => monitor.seenEnded >= CALM_FLOWS, CALM_MS);
  if (monitor.seenEnded < CALM_FLOWS)
    throw new Error("Expected flows to end while all is well, they do not.");
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
    const begun = Date.now();
    underWay.push(
      cause(site, fault, number).then(
        (detail) => {
          const done = { kind: fault.kind, startedAt: begun, endedAt: Date.now(), detail };
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
  await workers.close();
  clearInterval(looking);
  const admin = await redis.admin();
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

// ---- Programs ----------------------------------------------------------------------------------------------------

function startWorker(programs: Programs, redis: ChaosRedis, number: number): Program {
  const where = ["--redis", redis.url, "--namespace", NAMESPACE, "--root", ROOT];
  const how = ["--threads", "2", "--grace-seconds", String(GRACE_SECONDS)];
  // So little memory for each thread that a task can fill it quickly.
  const node = ["--max-old-space-size=200"];
  return programs.start(`worker-${number}`, process.execPath, [...node, CLI, "worker", ...where, ...how]);
}

function startFlowProgram(
  programs: Programs,
  redis: ChaosRedis,
  observations: string,
  { seed, lanes, loads }: ChaosOptions,
  number: number,
): Program {
  const options: FlowProgramOptions = {
    ...{ redisUrl: redis.url, namespace: NAMESPACE, lanes, pauseMs: 300, kinds: loads },
    ...{ seed: seed + number, file: join(observations, String(number)) },
  };
  return programs.start(`flows-${number}`, process.execPath, [
    ...["--import", "tsx", FLOW_PROGRAM],
    JSON.stringify(options),
  ]);
}

/** Behind the grace: leaving a Redis that is away takes 2 s for each step, and a paused process hears of it late. */
const STOP_MS = (GRACE_SECONDS + 25) * 1000;

const OUTPUT_SHOWN = 2_000;

function problemWithWorker(ending: Ending): string | undefined {
  const { program, code, signal, isKilled, stoppedForMs } = ending;
  const hasServed = program.output().includes("Millrace worker ");
  if (isKilled || signal === "SIGABRT") return undefined; // By a fault, or by a task.
  if (stoppedForMs !== undefined && code === 0 && stoppedForMs < STOP_MS) return undefined;
  // Not the worker's fault, but that of a Redis that was away when it started.
  if (code === 1 && !hasServed && /ERR_BROKER_UNAVAILABLE|LOADING/.test(program.output())) return undefined;
  // Told to go before it could listen.
  if (!hasServed && stoppedForMs !== undefined && signal === "SIGTERM") return undefined;
  return describeEnd(ending);
}

function problemWithFlowProgram(ending: Ending): string | undefined {
  if (ending.isKilled || (ending.stoppedForMs !== undefined && ending.code === 0)) return undefined;
  return describeEnd(ending);
}

function describeEnd({ program, code, signal, stoppedForMs }: Ending): string {
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  const when = stoppedForMs === undefined ? "unasked" : `${stoppedForMs / 1000} s after it was asked to`;
  return `${program.name} ${program.pid} ended ${how}, ${when}: ${program.output().slice(-OUTPUT_SHOWN)}`;
}

// ---- Small things ------------------------------------------------------------------------------------------------

/** Whether a worker holds more than any did when all was well. */
function heldMore(program: Program, atFirst: readonly Holdings[]): string[] {
  const held = holdingsOf(program.pid);
  if (held === undefined || atFirst.length === 0) return [];
  return (["threads", "sockets"] as const).flatMap((what) => {
    const most = Math.max(...atFirst.map((other) => other[what]));
    return held[what] > most
      ? [`${program.name} holds ${held[what]} ${what}, and held ${most} at first`]
      : [];
  });
}

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
