/**
 * A program that runs flows, one after the other in each of its lanes, until its standard input ends. A line on its
 * standard input asks what it holds: it appends that to a file, as a line.
 */
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { JOURNAL_VARIABLE } from "../chaos/journal.ts";
import { type LaneOptions, Lanes } from "../chaos/lanes.ts";
import { type LoadPlan, loadOf } from "../chaos/loads.ts";

export interface FlowProgramOptions extends LaneOptions {
  /** Where the answers go. */
  readonly file: string;
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
const { file, largeFirst } = options;
const journals = process.env[JOURNAL_VARIABLE] as string;

const wrong: string[] = [];
let flows = 0;

const lanes = new Lanes("soak", options, () => {
  (globalThis as { gc?: () => void }).gc?.();
  const account: Account = { heapUsed: process.memoryUsage().heapUsed, flows, wrong };
  appendFileSync(file, `${JSON.stringify(account)}\n`);
});

async function runFlow(plan: LoadPlan): Promise<void> {
  const { flowRunId, state } = await lanes.runFlow(plan);
  flows++;
  rmSync(join(journals, flowRunId), { force: true }); // Of no use here, and there are thousands.
  const expected = loadOf(plan.kind).ending(plan.size);
  if (state.type !== expected.type || (expected.answer !== undefined && state.data !== expected.answer))
    wrong.push(`${plan.kind} of ${plan.size} ended ${state.type}: ${state.message ?? state.data}`);
}

for (let count = 0; count < largeFirst && !lanes.isStopping; count++)
  await runFlow({ kind: "megabytes", size: 3 });
await lanes.run(runFlow);
