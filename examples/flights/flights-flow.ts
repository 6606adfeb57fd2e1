/**
 * The flow: one task for each row group of the file, a tree of tasks that adds their histograms up two by two, and one
 * that sums them up. Nothing here says where the tasks run; the caller does, with `flights.withOptions({ taskRunner })`.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { flow, type TaskFuture, task, unmapped } from "millrace";
import { readAirportNames } from "./dataset.ts";
import { countFlights, type HistogramTable, mergeTables } from "./histogram.ts";
import { listParts, type Part, readPart } from "./read-part.ts";
import { renderCsv } from "./report.ts";
import { type Summary, summarize } from "./summary.ts";

/** Decodes one part of the file and counts its flights: nearly all of the work. About 600 kB of histograms. */
const countPart = task({ name: "count-part" }, async (file: string, part: Part) =>
  countFlights(await readPart(file, part)),
);

/** Adds two histogram tables up. */
const combine = task({ name: "combine" }, (left: HistogramTable, right: HistogramTable) =>
  mergeTables(left, right),
);

/** Turns the histograms of all flights into the rows of the report. */
const sumUp = task({ name: "sum-up" }, (table: HistogramTable) => summarize(table));

export interface FlightsParameters {
  /** A Parquet file with the columns date, delay and origin, on a path that every worker can read. */
  readonly file: string;
  /** Where the CSV files are written; nowhere if it is missing. */
  readonly output?: string | undefined;
  /** Reads only so many row groups from the start of the file. */
  readonly limitRowGroups?: number | undefined;
  /** Reads the file so many times over, as if it were so many files: more work for more cores. Default: 1. */
  readonly copies?: number | undefined;
  /** Told each time when a part is done. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export const flights = flow(
  { name: "flights", description: "Arrival delays of US flights by airport and by hour" },
  async ({ file, output, limitRowGroups, copies = 1, onProgress }: FlightsParameters): Promise<Summary> => {
    const rowGroups = (await listParts(file)).slice(0, limitRowGroups);
    const parts = Array.from({ length: copies }, () => rowGroups).flat();
    if (parts.length === 0) throw new Error(`nothing to read in ${file}`);

    const counted = countPart.map(unmapped(file), parts);
    reportProgress(counted, onProgress);
    const summary = await sumUp.submit(combineAll(counted));

    if (output !== undefined) await writeCsv(summary, output);
    return summary;
  },
);

/**
 * Adds tables up in a tree: neighbours first, then the sums, until one is left. Everything is submitted at once; a
 * task that waits for two others takes no worker, and each sum starts as soon as its own two halves are there.
 */
function combineAll(tables: readonly TaskFuture<HistogramTable>[]): TaskFuture<HistogramTable> {
  let level = tables;
  while (level.length > 1) {
    const next: TaskFuture<HistogramTable>[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i]!, level[i + 1]];
      next.push(right === undefined ? left : combine.submit(left, right));
    }
    level = next;
  }
  return level[0]!;
}

function reportProgress(
  parts: readonly TaskFuture<unknown>[],
  onProgress: FlightsParameters["onProgress"],
): void {
  let done = 0;
  for (const part of parts) {
    void part.wait().then((state) => {
      if (state?.type === "COMPLETED") onProgress?.(++done, parts.length);
    });
  }
}

async function writeCsv(summary: Summary, output: string): Promise<void> {
  await mkdir(output, { recursive: true });
  for (const [name, text] of renderCsv(summary, await readAirportNames()))
    await writeFile(join(output, name), text);
}
