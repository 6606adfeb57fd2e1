/** Runs the flow from the command line: `npm run demo -- --help`. The report goes to stdout, all else to stderr. */

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { DistributedTaskRunner, SequentialTaskRunner, type TaskRunner } from "millrace";
import { readAirportNames } from "./dataset.ts";
import { type FlightsParameters, flights } from "./flights-flow.ts";
import { type Options, parseOptions, UsageError, usage } from "./options.ts";
import { showProgress } from "./progress.ts";
import { renderTables } from "./report.ts";
import type { Summary } from "./summary.ts";

interface Run {
  readonly summary: Summary;
  readonly seconds: number;
}

async function main(options: Options): Promise<void> {
  if (!existsSync(options.file)) throw new UsageError(`there is no file ${options.file}`);
  const cores = availableParallelism();
  const input = { file: options.file, limitRowGroups: options.parts, copies: options.copies };

  const label = options.redis ? "redis" : "local";
  const run = await timed(label, distributedRunner(options, cores), { ...input, output: options.output });
  await present(run.summary, options.output);
  say(`Elapsed: ${run.seconds.toFixed(2)} s on ${cores} cores${options.redis ? ", through Redis" : ""}`);

  if (!options.compare) return;
  const sequential = await timed("sequential", new SequentialTaskRunner(), input);
  if (!isDeepStrictEqual(run.summary, sequential.summary)) throw new Error("the two reports differ");
  say(`Sequential: ${sequential.seconds.toFixed(2)} s; the reports are identical`);
  say(`Speed-up: ${(sequential.seconds / run.seconds).toFixed(2)}`);
}

/** All cores of this machine: threads of this process, or of two worker processes that are fed through Redis. */
function distributedRunner({ redis }: Options, cores: number): TaskRunner {
  const workers = redis ? 2 : 1;
  const threads = Math.ceil(cores / workers);
  return new DistributedTaskRunner({ cluster: { broker: redis ? "redis" : "memory", workers, threads } });
}

/** Runs the flow with progress. The time is that of the whole flow run: starting the workers, writing the tables. */
async function timed(label: string, taskRunner: TaskRunner, parameters: FlightsParameters): Promise<Run> {
  const progress = showProgress(label);
  const started = performance.now();
  try {
    const run = flights.withOptions({ taskRunner });
    const summary = await run({ ...parameters, onProgress: progress.update });
    return { summary, seconds: (performance.now() - started) / 1000 };
  } finally {
    progress.end();
  }
}

/** Shows the tables, and draws the chart beside the CSV files that the flow wrote. */
async function present(summary: Summary, output: string): Promise<void> {
  const names = await readAirportNames();
  process.stdout.write(renderTables(summary, names));
  const { drawChart } = await import("./chart.ts"); // Vega takes a quarter of a second to load: only now
  const chart = join(output, "delays.svg");
  await writeFile(chart, await drawChart(summary, names));
  say(`Chart: ${relative(process.cwd(), chart)}; all figures as CSV beside it`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(usage);
  else await main(options);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
