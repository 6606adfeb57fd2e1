/** Where the input lies: the data files of the npm package `vega-datasets`, and the names of the airports in it. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { csvParse } from "d3-dsv";

/** The path of one data file of `vega-datasets`. */
export function datasetPath(name: string): string {
  // The package exports only its entry, `build/index.js`; the data lies beside `build`.
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return fileURLToPath(new URL(`../data/${name}`, pathToFileURL(entry)));
}

/** Three million US flights of the first half of 2001; 11 row groups. */
export const flightsFile = (): string => datasetPath("flights-3m.parquet");

/** A readable name for each IATA code, like `Chicago, IL`. */
export type AirportNames = ReadonlyMap<string, string>;

export async function readAirportNames(): Promise<AirportNames> {
  const rows = csvParse(await readFile(datasetPath("airports.csv"), "utf8"));
  return new Map(rows.map((row) => [row.iata ?? "", `${row.city}, ${row.state}`]));
}
