import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { type Figure, parseReport, SYSTEMS } from "./figure.ts";
import { goalTable, mixedLoadTable } from "./table.ts";

/** Small sizes take a minute on two cores that are idle; here other tests run beside them. */
const TIMEOUT_MS = 300_000;

test("every benchmark still runs, and gives a figure of every system for each goal", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { figures, machine } = parseReport(await bench("--quick", "--json"));
  expect(machine.isQuick).toBe(true);
  // Of a second, Linux counts hundredths: what waits may have used none.
  const isBroken = ({ group, unit, value }: Figure) =>
    !(group === "idle" && unit === "%" ? value >= 0 : value > 0);
  expect(figures.filter(isBroken).map(nameOf)).toEqual([]);
  const measured = new Set(figures.map(({ system }) => system));
  expect(SYSTEMS.filter((system) => !measured.has(system) && !["Dask", "Ray"].includes(system))).toEqual([]);
  // A flow of a million tasks, and a METG, which small sizes do not always reach, are for whole runs.
  const missing = [...goalTable(figures).rows, ...mixedLoadTable(figures).rows]
    .filter((row) => row.at(-1)!.includes("not measured") && !row[0]!.startsWith("METG"))
    .map((row) => row[0]);
  expect(missing).toEqual([]);
});

test("a group that is not there is refused with those that are", async () => {
  await expect(bench("--only", "nothing")).rejects.toThrow(/expected some of throughput, latency/);
});

async function bench(...flags: string[]): Promise<string> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", main, ...flags]);
  return stdout;
}

function nameOf({ group, measure, system }: Figure): string {
  return `${group}: ${measure}, ${system}`;
}
