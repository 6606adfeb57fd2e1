/**
 * A program that runs flows, one after the other in each of its lanes, until its standard input ends; then it waits for
 * those that run, and must end by itself. A line on its standard input is a flow to run besides. What becomes of each
 * flow run is appended to a file.
 */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DistributedTaskRunner, flow, observeRuns, type State, setLogLevel } from "millrace";
import { flowRunIdOf } from "./journal.ts";
import { type LoadKind, type LoadPlan, loadOf, planLoad } from "./loads.ts";
import type { Ending, Observation, RunFacts } from "./observations.ts";
import { Random } from "./random.ts";

export interface FlowProgramOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly seed: number;
  /** Where observations go. */
  readonly file: string;
  /** Flows at a time. */
  readonly lanes: number;
  /** Between two flows of a lane, at most. */
  readonly pauseMs: number;
  readonly kinds: readonly LoadKind[];
}

const options = JSON.parse(process.argv[2] as string) as FlowProgramOptions;
const { redisUrl, namespace, seed, file, lanes, pauseMs, kinds } = options;
const taskRunner = new DistributedTaskRunner({ redis: redisUrl, namespace });
setLogLevel("error");

function observe(observation: Observation): void {
  appendFileSync(file, `${JSON.stringify(observation)}\n`);
}

// ---- What is seen of task runs -----------------------------------------------------------------------------------

/** By flow run, then by task run. A flow run's entry is taken out when it has ended. */
const seen = new Map<string, Map<string, { births: number; finals: string[]; attempt: number }>>();

observeRuns({
  "task-run-state": ({ taskRunId, flowRunId, attempt, state }) => {
    const name = `${state.type} ${state.name}`;
    const isFinal = /^(COMPLETED|FAILED|CRASHED|CANCELLED) |NotReady$/.test(name);
    const runs = seen.get(flowRunIdOf(flowRunId));
    if (runs === undefined) {
      // Whether a run settles after its flow run has ended.
      observe({ event: "late", flowRunId: flowRunIdOf(flowRunId), at: Date.now(), taskRunId, state: name });
      return;
    }
    const run = runs.get(taskRunId) ?? { births: 0, finals: [], attempt: 0 };
    runs.set(taskRunId, run);
    run.attempt = Math.max(run.attempt, attempt);
    if (name === "PENDING Pending" && attempt === 0) run.births++;
    if (isFinal) run.finals.push(name);
  },
});

// ---- Flows -------------------------------------------------------------------------------------------------------

async function runFlow(plan: LoadPlan): Promise<void> {
  const { body, cancelAfterMs } = loadOf(plan.kind);
  const run = flow({ name: `chaos-${plan.kind}`, taskRunner }, () => body(plan)).start();
  const flowRunId = run.id;
  seen.set(flowRunId, new Map());
  observe({ event: "started", flowRunId, at: Date.now(), plan, pid: process.pid });
  const timer = cancelAfterMs === undefined ? undefined : setTimeout(() => void run.cancel(), cancelAfterMs);
  const state = await run.wait();
  clearTimeout(timer);
  const runs: RunFacts[] = [...(seen.get(flowRunId) ?? [])].map(([id, facts]) => ({ id, ...facts }));
  seen.delete(flowRunId);
  observe({ event: "ended", flowRunId, at: Date.now(), ending: endingOf(state), runs });
}

function endingOf({ type, data, message }: State): Ending {
  if (type === "COMPLETED") return { type, answer: data as number };
  const error = data instanceof Error ? `${data.name}: ${data.message}` : message;
  return { type: type as Ending["type"], error };
}

// ---- The program -------------------------------------------------------------------------------------------------

let isStopping = false;
const random = new Random(seed);

async function runLane(): Promise<void> {
  while (!isStopping) {
    await runFlow(planLoad(random, kinds));
    await sleep(random.between(0, pauseMs));
  }
}

const besides = new Set<Promise<void>>();
const orders = createInterface({ input: process.stdin });
orders.on("line", (line) => besides.add(runFlow(JSON.parse(line) as LoadPlan)));
orders.on("close", () => {
  isStopping = true;
});
await Promise.all(Array.from({ length: lanes }, runLane));
await Promise.all(besides);
