/** The report as text: neat tables for the terminal, and everything as CSV. Pure: the same summary, the same bytes. */

import { csvFormatRows } from "d3-dsv";
import type { AirportNames } from "./dataset.ts";
import type { Delays, Summary } from "./summary.ts";

/** How many airports the terminal and the chart show. The CSV files have all of them. */
export const airportsShown = 20;

export function reportTitle(summary: Summary): string {
  return `${grouped(summary.flights)} US flights: arrival delay by airport and hour of departure`;
}

/** What the figures mean, for the tables and the chart. */
export const reportNotes = {
  delays: "Arrival delay in minutes, negative: early. The hour is that of the actual departure, local time.",
  percentile: "95th percentile: exact, by nearest rank.",
};

/** The terminal report. */
export function renderTables(summary: Summary, names: AirportNames): string {
  const busiest = summary.airports.slice(0, airportsShown);
  return [
    reportTitle(summary),
    "",
    `The ${busiest.length} busiest of ${summary.airports.length} airports`,
    renderTable(
      ["Airport", "", "Flights", "Mean delay", "95th percentile"],
      busiest.map((row) => [row.airport, names.get(row.airport) ?? "", ...delayColumns(row)]),
      2,
    ),
    "",
    "Hours of the day",
    renderTable(
      ["Hour", "Flights", "Mean delay", "95th percentile"],
      summary.hours.map((row) => [hourLabel(row.hour), ...delayColumns(row)]),
      1,
    ),
    "",
    reportNotes.delays,
    reportNotes.percentile,
    "",
  ].join("\n");
}

/** All of the report, as the contents of CSV files by name. */
export function renderCsv(summary: Summary, names: AirportNames): ReadonlyMap<string, string> {
  const delays = (row: Delays) => [`${row.flights}`, row.mean.toFixed(3), `${row.p95}`];
  const delayNames = ["flights", "mean_delay_minutes", "p95_delay_minutes"];
  const file = (header: string[], rows: string[][]) => `${csvFormatRows([header, ...rows])}\n`;
  return new Map([
    [
      "airports.csv",
      file(
        ["airport", "place", ...delayNames],
        summary.airports.map((row) => [row.airport, names.get(row.airport) ?? "", ...delays(row)]),
      ),
    ],
    [
      "hours.csv",
      file(
        ["hour", ...delayNames],
        summary.hours.map((row) => [`${row.hour}`, ...delays(row)]),
      ),
    ],
    [
      "airport-hours.csv",
      file(
        ["airport", "hour", ...delayNames],
        summary.airportHours.map((row) => [row.airport, `${row.hour}`, ...delays(row)]),
      ),
    ],
  ]);
}

export const grouped = (count: number): string => count.toLocaleString("en-US");

export const hourLabel = (hour: number): string => `${String(hour).padStart(2, "0")}:00`;

const delayColumns = (row: Delays): string[] => [grouped(row.flights), row.mean.toFixed(1), `${row.p95}`];

/** Columns two spaces apart; the first `leftColumns` to the left, the others (figures) to the right. */
function renderTable(header: string[], rows: string[][], leftColumns: number): string {
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: string[]) =>
    `  ${cells.map((cell, i) => (i < leftColumns ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")}`;
  const rule = `  ${widths.map((width) => "─".repeat(width)).join("──")}`;
  return [line(header), rule, ...rows.map(line)].map((text) => text.trimEnd()).join("\n");
}
