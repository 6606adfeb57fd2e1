/** One soak, from the start of its Redis to the end of its flows. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadKind } from "../chaos/loads.ts";
import { type Program, type Programs, ROOT } from "../chaos/programs.ts";
import { ChaosRedis } from "../chaos/redis.ts";
import type { Account, FlowProgramOptions } from "./flow-program.ts";
import { type ProcessSample, type Sample, sampleProcess, sampleRedis } from "./samples.ts";

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly everySeconds: number;
}

export interface Soaked {
  readonly samples: readonly Sample[];
  /** What went wrong besides: flows with a wrong answer, and programs that ended. */
  readonly problems: readonly string[];
}

const NAMESPACE = "soak";
const CLI = join(ROOT, "packages/millrace/dist/cli.js");
const FLOW_PROGRAM = join(ROOT, "test/soak/flow-program.ts");
const KINDS: readonly LoadKind[] = [
  ...(["noops", "chain", "nested", "retries", "megabytes", "cancelled", "cached"] as const),
];

/** About 4 flows in a second, which keep one core half busy: whoever shares the machine can work. */
const LANES = 2;
const PAUSE_MS = 500;

/**
 * A worker keeps 256 MiB of large values at hand. Each of these flows makes 6 MB for the two of them: when they have run,
 * that is full.
 */
const LARGE_FIRST = 120;

/**
 * So little for each heap that it is full, and collected, within the warm-up. With 150 MB, workers still grew by 35 MiB in the
 * rest of 10 minutes, with 64 MB by 5 MiB.
 */
const HEAP = "--max-old-space-size=64";

const ANSWER_MS = 10_000;
const END_MS = 60_000;
const POLL_MS = 20;

/** @param onSample told of each sample as it is taken */
export async function runSoak(
  { minutes, seed, everySeconds }: SoakOptions,
  directory: string,
  programs: Programs,
  onSample: (sample: Sample) => void,
): Promise<Soaked> {
  const redis = new ChaosRedis(directory, programs, "everysec");
  await redis.start();
  const admin = await redis.admin();
  await admin.config("SET", "appendonly", "no"); // To rewrite its log, it would need memory now and then.
  const where = ["--redis", redis.url, "--namespace", NAMESPACE, "--root", ROOT, "--threads", "1"];
  const workers = [1, 2].map((number) =>
    programs.start(`worker-${number}`, process.execPath, [HEAP, CLI, "worker", ...where]),
  );
  const file = join(directory, "accounts");
  const options: FlowProgramOptions = {
    ...{ redisUrl: redis.url, namespace: NAMESPACE, seed, file },
    ...{ lanes: LANES, pauseMs: PAUSE_MS, kinds: KINDS, largeFirst: LARGE_FIRST },
  };
  const flows = programs.start("flows", process.execPath, [
    ...[HEAP, "--expose-gc", "--import", "tsx", FLOW_PROGRAM],
    JSON.stringify(options),
  ]);
  const all = [flows, ...workers];

  const samples: Sample[] = [];
  const problems: string[] = [];
  const startedAt = performance.now();
  for (let number = 1; number <= (minutes * 60) / everySeconds; number++) {
    await sleep(Math.max(0, startedAt + number * everySeconds * 1000 - performance.now()));
    problems.push(...all.filter(({ child }) => hasEnded(child)).map(describeEnd));
    if (problems.length > 0) return { samples, problems };
    const { wrong, ...account } = await ask(flows, file, number);
    const sample: Sample = {
      ...{ second: (performance.now() - startedAt) / 1000, ...account },
      processes: processesOf(all),
      redis: await sampleRedis(admin),
    };
    samples.push(sample);
    onSample(sample);
    problems.push(...wrong);
    if (problems.length > 0) return { samples, problems };
  }

  flows.child.stdin?.end();
  const isOver = await Promise.race([flows.exited, sleep(END_MS, undefined, { ref: false })]);
  if (isOver === undefined) problems.push(`the flows did not end within ${END_MS / 1000} s`);
  else if (isOver.code !== 0) problems.push(describeEnd(flows));
  for (const { child } of workers) child.kill("SIGTERM");
  await Promise.race([
    Promise.all(workers.map(({ exited }) => exited)),
    sleep(END_MS, undefined, { ref: false }),
  ]);
  problems.push(...workers.filter(({ child }) => child.exitCode !== 0).map(describeEnd));
  await redis.close();
  return { samples, problems };
}

function processesOf(programs: readonly Program[]): Record<string, ProcessSample> {
  const seen = programs.map(({ name, pid }) => [name, sampleProcess(pid)] as const);
  return Object.fromEntries(seen.filter((entry): entry is [string, ProcessSample] => entry[1] !== undefined));
}

/** Asks the program of the flows for its account: its answers are lines of a file, one for each time that it was asked. */
async function ask(flows: Program, file: string, times: number): Promise<Account> {
  flows.child.stdin?.write("\n");
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const lines = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
    if (lines.length >= times) return JSON.parse(lines.at(-1) as string) as Account;
    if (performance.now() > deadline) throw new Error(`Expected an answer: ${flows.output()}`);
    await sleep(POLL_MS);
  }
}

function hasEnded(child: Program["child"]): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function describeEnd({ name, child, output }: Program): string {
  return `${name} ended with ${child.signalCode ?? child.exitCode}: ${output().slice(-2_000)}`;
}
