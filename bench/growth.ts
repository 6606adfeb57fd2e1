/** How a figure changes as something grows: as a table and as a chart. Pure functions. */
import { drawChart, type Series } from "./chart.ts";
import { type Figure, SYSTEMS, type SystemName } from "./figure.ts";
import { formatNumber, type Table, withUnit } from "./table.ts";

export interface Growth {
  readonly group: string;
  readonly measure: string;
  readonly unit: string;
  /** A line for each system, by size. */
  readonly series: readonly Series[];
}

/** What grows in each group, with its unit. */
const SIZES: Record<string, string> = {
  scale: "tasks in the flow",
  payload: "bytes of the argument",
  workers: "workers of one thread each",
};

/** One for each group of figures with sizes, and each of its measures. */
export function growthsOf(figures: readonly Figure[]): Growth[] {
  const lines = new Map<string, Line>();
  for (const { group, measure, unit, system, at, value } of figures) {
    if (at === undefined) continue;
    const key = `${group} ${measure} ${system}`;
    const line: Line = lines.get(key) ?? { group, measure, unit, name: system, points: [] };
    lines.set(key, line);
    line.points.push([at, value]);
  }
  const growths = new Map<string, Growth & { readonly series: Series[] }>();
  for (const { group, measure, unit, ...series } of lines.values()) {
    const key = `${group} ${measure}`;
    const growth = growths.get(key) ?? { group, measure, unit, series: [] };
    growths.set(key, growth);
    growth.series.push(series);
  }
  return [...growths.values()];
}

interface Line extends Omit<Growth, "series"> {
  readonly name: string;
  readonly points: [size: number, value: number][];
}

export function growthTable({ group, measure, unit, series }: Growth): Table {
  const sizes = [...new Set(series.flatMap(({ points }) => points.map(([size]) => size)))].sort(
    (a, b) => a - b,
  );
  const cell = (line: Series, size: number) => {
    const value = line.points.find(([x]) => x === size)?.[1];
    return value === undefined ? "" : formatNumber(value);
  };
  return {
    title: withUnit(measure, unit),
    head: [SIZES[group] ?? group, ...series.map(({ name }) => name)],
    rows: sizes.map((size) => [size.toLocaleString("en"), ...series.map((line) => cell(line, size))]),
  };
}

export function growthChart({ group, measure, unit, series }: Growth): string {
  return drawChart({
    title: measure,
    xLabel: SIZES[group] ?? group,
    yLabel: unit,
    series: series.map((line) => ({ ...line, color: SYSTEMS.indexOf(line.name as SystemName) })),
  });
}
