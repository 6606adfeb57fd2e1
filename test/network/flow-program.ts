/**
 * A program whose flow runs rounds of calls until a file tells it to stop, and ends with the results of all of them: the
 * last line on standard output.
 */
import { existsSync } from "node:fs";
import { DistributedTaskRunner, flow, unmapped } from "millrace";
import { type Work, work } from "./tasks.ts";

export interface FlowProgramOptions {
  readonly redisUrl: string;
  readonly redisTimeoutSeconds: number;
  readonly namespace: string;
  /** Where the tasks note their executions. */
  readonly journals: string;
  /** When this file is there, the round that runs is the last. */
  readonly stopFile: string;
  readonly calls: number;
  readonly callMs: number;
}

export type Rounds = readonly (readonly Work[])[];

const options = JSON.parse(process.argv[2] as string) as FlowProgramOptions;
const { redisUrl: redis, redisTimeoutSeconds, namespace, journals, stopFile, calls, callMs } = options;
const taskRunner = new DistributedTaskRunner({ redis, namespace, redisTimeoutSeconds });
const numbers = Array.from({ length: calls }, (_, n) => n);

const rounds = flow({ name: "rounds", taskRunner }, async (): Promise<Rounds> => {
  const results: Work[][] = [];
  do results.push(await work.map(numbers, unmapped(journals), unmapped(callMs)).results());
  while (!existsSync(stopFile));
  return results;
});

console.log(JSON.stringify(await rounds()));
