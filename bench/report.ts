/**
 * Writes the figures of a run into the pages and draws the charts, so that no figure is written by hand:
 *
 *     npm run --silent bench -- --json > out.jsonl
 *     npm run bench:report out.jsonl
 */
import { readFile, writeFile } from "node:fs/promises";
import { type Machine, parseReport } from "./figure.ts";
import { type Growth, growthChart, growthsOf, growthTable } from "./growth.ts";
import { rewritePage } from "./section.ts";
import { asMarkdown, goalTable, mixedLoadTable, otherFigures } from "./table.ts";

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("Expected the file with the lines of `npm run bench -- --json`.");
const { machine, figures } = parseReport(await readFile(path, "utf8"));
if (machine.isQuick) throw new Error("Expected the figures of a whole run, got those of --quick.");

const goals = asMarkdown(goalTable(figures));
const growths = growthsOf(figures);
for (const growth of growths) {
  await writeFile(new URL(`../docs/${chartFile(growth)}`, import.meta.url), growthChart(growth));
}
await rewritePage("docs/performance.md", {
  machine: describe(machine),
  goals,
  "mixed-loads": asMarkdown(mixedLoadTable(figures)),
  growth: growths.map(asSection).join("\n\n"),
  more: asMarkdown(otherFigures(figures)),
});
await rewritePage("README.md", { machine: describe(machine), goals });

function describe({ date, cores, cpu, memoryGb, platform, versions }: Machine): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version ?? "not installed"}`);
  return `Measured ${date} on ${cores} cores (${cpu}), ${memoryGb} GB, ${platform}; ${programs.join(", ")}.`;
}

function asSection(growth: Growth): string {
  const table = growthTable(growth);
  const title = `${table.title[0]!.toUpperCase()}${table.title.slice(1)}, by ${table.head[0]}`;
  return `### ${title}\n\n${asMarkdown(table)}\n\n![${title}](${chartFile(growth)})`;
}

function chartFile({ group, measure }: Growth): string {
  return `performance-${group}-${measure.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.svg`;
}
