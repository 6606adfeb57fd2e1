/**
 * `npm run bench`: the figures that Millrace watches, for this machine, with the peers beside it in the same run, and
 * whether each reaches its goal. Needs a redis-server on the PATH.
 *
 *     --json             a line for each figure, for report.ts
 *     --only <group>     one group (may be repeated): see the list below
 *     --system <name>    one system, by the name of its column (may be repeated)
 *     --measure <start>  the measures whose names begin so (may be repeated)
 *     --rounds <n>       so many rounds of what is measured in rounds
 *     --quick            small sizes, to see that it works
 *     --pattern all      of Task Bench, every pattern
 */
import { parseArgs } from "node:util";
import type { Figure } from "./figure.ts";
import { balance } from "./groups/balance.ts";
import { engine } from "./groups/engine.ts";
import type { Bench, Group } from "./groups/group.ts";
import { idle } from "./groups/idle.ts";
import { latency } from "./groups/latency.ts";
import { payload } from "./groups/payload.ts";
import { scale } from "./groups/scale.ts";
import { start } from "./groups/start.ts";
import { taskBench } from "./groups/task-bench.ts";
import { throughput } from "./groups/throughput.ts";
import { workers } from "./groups/workers.ts";
import { growthsOf, growthTable } from "./growth.ts";
import { describeMachine } from "./machine.ts";
import { findPythonPeers } from "./systems/python.ts";
import { asText, goalTable, mixedLoadTable, otherFigures } from "./table.ts";

const groups: readonly Group[] = [
  throughput,
  latency,
  start,
  engine,
  idle,
  taskBench,
  scale,
  payload,
  workers,
  balance,
];

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    system: { type: "string", multiple: true },
    measure: { type: "string", multiple: true },
    rounds: { type: "string" },
    pattern: { type: "string" },
  },
});
if (flags.pattern !== undefined && flags.pattern !== "all") throw new Error("--pattern: expected `all`.");
const chosen = chooseGroups(flags.only);
// A standing cluster is not what is measured.
delete process.env.MILLRACE_REDIS_URL;

const began = performance.now();
const peers = await findPythonPeers((system) => wants({ system }));
const machine = await describeMachine(flags.quick, peers);
if (flags.json) console.log(JSON.stringify({ machine }));
for (const name of ["Dask", "Ray"]) {
  if (machine.versions[name] !== null || !wants({ system: name })) continue;
  progress(`${name} is left out: no python3 here can import it`);
}

const figures: Figure[] = [];
for (const group of chosen) {
  const bench: Bench = {
    isQuick: flags.quick,
    peers,
    withAllPatterns: flags.pattern === "all",
    rounds: (usual) => Number(flags.rounds ?? (flags.quick ? 1 : usual)),
    wants,
    record(figure) {
      if (!wants(figure)) return;
      figures.push(figure);
      if (flags.json) console.log(JSON.stringify(figure));
    },
    progress: (text) => progress(`${group.name}: ${text}`),
  };
  await group.run(bench);
}
if (!flags.json) {
  for (const table of [
    goalTable(figures),
    mixedLoadTable(figures),
    ...growthsOf(figures).map(growthTable),
    otherFigures(figures),
  ]) {
    if (table.rows.length > 0) console.log(`\n${asText(table)}`);
  }
}

function wants({ system, measure }: Parameters<Bench["wants"]>[0]): boolean {
  const isOneOf = flags.system === undefined || system === undefined || flags.system.includes(system);
  const beginsSo = (start: string) => measure === undefined || measure.startsWith(start);
  return isOneOf && (flags.measure === undefined || flags.measure.some(beginsSo));
}

function chooseGroups(names: readonly string[] | undefined): readonly Group[] {
  const unknown = names?.filter((name) => !groups.some((group) => group.name === name)) ?? [];
  if (unknown.length > 0) {
    const known = groups.map(({ name }) => name).join(", ");
    throw new Error(`--only: expected some of ${known}; got ${unknown.join(", ")}.`);
  }
  return groups.filter(({ name }) => names === undefined || names.includes(name));
}

/** To standard error: standard output is for the figures. */
function progress(text: string): void {
  const seconds = Math.round((performance.now() - began) / 1000);
  console.error(`${String(seconds).padStart(4)} s  ${text}`);
}
