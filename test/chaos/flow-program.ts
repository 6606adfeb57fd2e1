/**
 * A program that runs flows, one after the other in each of its lanes, until its standard input ends; then it waits for
 * those that run, and must end by itself. A line on its standard input is a flow to run besides. What becomes of each
 * flow run is appended to a file.
 */
import { appendFileSync } from "node:fs";
import { observeRuns, type State } from "millrace";
import { flowRunIdOf } from "./journal.ts";
import { type LaneOptions, Lanes } from "./lanes.ts";
import type { LoadPlan } from "./loads.ts";
import type { Ending, Observation, RunFacts } from "./observations.ts";

export interface FlowProgramOptions extends LaneOptions {
  /** Where observations go. */
  readonly file: string;
}

const options = JSON.parse(process.argv[2] as string) as FlowProgramOptions;
const besides = new Set<Promise<void>>();
const lanes = new Lanes("chaos", options, (line) => besides.add(runFlow(JSON.parse(line) as LoadPlan)));

function observe(observation: Observation): void {
  appendFileSync(options.file, `${JSON.stringify(observation)}\n`);
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
  const { flowRunId, state } = await lanes.runFlow(plan, (flowRunId) => {
    seen.set(flowRunId, new Map());
    observe({ event: "started", flowRunId, at: Date.now(), plan, pid: process.pid });
  });
  const runs: RunFacts[] = [...(seen.get(flowRunId) ?? [])].map(([id, facts]) => ({ id, ...facts }));
  seen.delete(flowRunId);
  observe({ event: "ended", flowRunId, at: Date.now(), ending: endingOf(state), runs });
}

function endingOf({ type, data, message }: State): Ending {
  if (type === "COMPLETED") return { type, answer: data as number };
  const error = data instanceof Error ? `${data.name}: ${data.message}` : message;
  return { type: type as Ending["type"], error };
}

await lanes.run(runFlow);
await Promise.all(besides);
