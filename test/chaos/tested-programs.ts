/** The programs under test: how they are started, and what is wrong with how they ended. */
import { join } from "node:path";
import type { Ending } from "./fleet.ts";
import type { FlowProgramOptions } from "./flow-program.ts";
import { GRACE_SECONDS } from "./hits.ts";
import type { ChaosOptions } from "./options.ts";
import { type Program, type Programs, ROOT } from "./programs.ts";
import type { ChaosRedis } from "./redis.ts";

const NAMESPACE = "chaos";
const CLI = join(ROOT, "packages/millrace/dist/cli.js");
const FLOW_PROGRAM = join(ROOT, "test/chaos/flow-program.ts");

export function startWorker(programs: Programs, redis: ChaosRedis, number: number): Program {
  const where = ["--redis", redis.url, "--namespace", NAMESPACE, "--root", ROOT];
  const how = ["--threads", "2", "--grace-seconds", String(GRACE_SECONDS)];
  // So little memory for each thread that a task can fill it quickly.
  const node = ["--max-old-space-size=200"];
  return programs.start(`worker-${number}`, process.execPath, [...node, CLI, "worker", ...where, ...how]);
}

export function startFlowProgram(
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

/** Behind the grace: leaving a Redis that is away takes 2 s, and a paused process hears of it late. */
const STOP_MS = (GRACE_SECONDS + 25) * 1000;

const OUTPUT_SHOWN = 2_000;

export function problemWithWorker(ending: Ending): string | undefined {
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

export function problemWithFlowProgram(ending: Ending): string | undefined {
  if (ending.isKilled || (ending.stoppedForMs !== undefined && ending.code === 0)) return undefined;
  return describeEnd(ending);
}

function describeEnd({ program, code, signal, stoppedForMs }: Ending): string {
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  const when = stoppedForMs === undefined ? "unasked" : `${stoppedForMs / 1000} s after it was asked to`;
  return `${program.name} ${program.pid} ended ${how}, ${when}: ${program.output().slice(-OUTPUT_SHOWN)}`;
}
