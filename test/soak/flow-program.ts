/**
 * A program that runs flows, one after the other in each of its lanes, until its standard input ends. A line on its
 * standard input asks what it holds: it appends that to a file, as a line.
 */
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DistributedTaskRunner, flow, setLogLevel } from "millrace";
import { JOURNAL_VARIABLE } from "../chaos/journal.ts";
import { type LoadKind, type LoadPlan, loadOf, planLoad } from "../chaos/loads.ts";
import { Random } from "../chaos/random.ts";

export interface FlowProgramOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly seed: number;
  /** Where the answers go. */
  readonly file: string;
  /** Flows at a time. */
  readonly lanes: number;
  /** Between two flows of a lane, at most. */
  readonly pauseMs: number;
  readonly kinds: readonly LoadKind[];
  /** Flows of large values that run before all others. */
  readonly largeFirst: number;
}

/** What it holds, once what nobody needs is collected, and what it has done. */
export interface Account {
  readonly heapUsed: number;
  readonly flows: number;
  /** What flows ended with that they should not. */
  readonly wrong: readonly string[];
}

const options = JSON.parse(process.argv[2] as string) as FlowProgramOptions;
const { redisUrl, namespace, seed, file, lanes, pauseMs, kinds, largeFirst } = options;
const taskRunner = new DistributedTaskRunner({ redis: redisUrl, namespace });
const journals = process.env[JOURNAL_VARIABLE] as string;
setLogLevel("error");

const random = new Random(seed);
const wrong: string[] = [];
let flows = 0;
let isStopping = false;

async function runFlow(plan: LoadPlan): Promise<void> {
  const { body, ending, cancelAfterMs } = loadOf(plan.kind);
  const run = flow({ name: `soak-${plan.kind}`, taskRunner }, () => body(plan)).start();
  const timer = cancelAfterMs === undefined ? undefined : setTimeout(() => void run.cancel(), cancelAfterMs);
  const state = await run.wait();
  clearTimeout(timer);
  flows++;
  rmSync(join(journals, run.id), { force: true }); // Of no use here, and there are thousands.
  const expected = ending(plan.size);
  if (state.type !== expected.type || (expected.answer !== undefined && state.data !== expected.answer))
    wrong.push(`${plan.kind} of ${plan.size} ended ${state.type}: ${state.message ?? state.data}`);
}

async function runLane(): Promise<void> {
  while (!isStopping) {
    await runFlow(planLoad(random, kinds));
    await sleep(random.between(0, pauseMs));
  }
}

const questions = createInterface({ input: process.stdin });
questions.on("line", () => {
  (globalThis as { gc?: () => void }).gc?.();
  const account: Account = { heapUsed: process.memoryUsage().heapUsed, flows, wrong };
  appendFileSync(file, `${JSON.stringify(account)}\n`);
});
questions.on("close", () => {
  isStopping = true;
});
for (let count = 0; count < largeFirst && !isStopping; count++) await runFlow({ kind: "megabytes", size: 3 });
await Promise.all(Array.from({ length: lanes }, runLane));
