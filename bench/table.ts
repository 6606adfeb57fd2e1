/** Makes tables of figures, for a terminal and for a page. Pure functions. */
import { type Figure, SYSTEMS } from "./figure.ts";
import { FIGURES, type Goal, type GoalRow, MIXED_LOADS } from "./goals.ts";

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The figures that have a goal, with the peers beside them. Rows of which nothing was measured are left out. */
export function goalTable(figures: readonly Figure[]): Table {
  return tableOfGoals("Figures and goals", FIGURES, SYSTEMS, figures);
}

export function mixedLoadTable(figures: readonly Figure[]): Table {
  const systems = distinct(figures.filter(({ group }) => group === "balance").map(({ system }) => system));
  return tableOfGoals("Mixed loads", MIXED_LOADS, systems, figures);
}

/** What is in no other table: a row for each measure. */
export function otherFigures(figures: readonly Figure[]): Table {
  const isShown = ({ group, measure, at }: Figure) =>
    at !== undefined ||
    [...FIGURES, ...MIXED_LOADS].some((row) => row.group === group && row.measure === measure);
  const others = figures.filter((figure) => !isShown(figure));
  const systems = distinct(others.map(({ system }) => system));
  return {
    title: "More figures",
    head: ["measure", ...systems],
    rows: distinct(others.map(({ measure }) => measure)).map((measure) => [
      withUnit(measure, others.find((figure) => figure.measure === measure)!.unit),
      ...systems.map((system) =>
        formatFigure(others.find((figure) => figure.measure === measure && figure.system === system)),
      ),
    ]),
  };
}

export function asText({ title, head, rows }: Table): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const pad = (line: readonly string[]) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)));
  const [first, ...others] = lines.map((line) => pad(line).join("  "));
  return [title, first!, "─".repeat(first!.length), ...others].join("\n");
}

export function asMarkdown({ head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

export function formatNumber(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

function tableOfGoals(
  title: string,
  goalRows: readonly GoalRow[],
  systems: readonly string[],
  figures: readonly Figure[],
): Table {
  const rows = goalRows.flatMap((row) => {
    const cells = systems.map((system) => findFigure(row, system, figures));
    if (cells.every((cell) => cell === undefined)) return [];
    const label = withUnit(row.label, cells.find((cell) => cell !== undefined)!.unit);
    const verdicts = row.goals.map((goal) => verdict(goal, row, figures));
    return [[label, ...cells.map(formatFigure), goalsAsText(row.goals), verdicts.join("; ")]];
  });
  return { title, head: ["measure", ...systems, "goal", "reached"], rows };
}

function findFigure(
  { group, measure, at, from }: GoalRow,
  system: string,
  figures: readonly Figure[],
): Figure | undefined {
  const wanted = from?.[system] ?? system;
  return figures.find(
    (figure) =>
      figure.group === group && figure.measure === measure && figure.system === wanted && figure.at === at,
  );
}

function verdict(goal: Goal, row: GoalRow, figures: readonly Figure[]): string {
  const value = findFigure(row, goal.system, figures)?.value;
  const limit = "noMoreThan" in goal ? findFigure(row, goal.noMoreThan, figures)?.value : limitOf(goal);
  const isReached =
    value !== undefined && limit !== undefined && ("atLeast" in goal ? value >= limit : value <= limit);
  const name = shortName(goal.system);
  if (value === undefined || limit === undefined) return `${name}: not measured`;
  const isRatio = "noMoreThan" in goal;
  return `${name}: ${isReached ? "yes" : "no"}${isRatio ? ` (${formatNumber(value / limit)} times)` : ""}`;
}

function goalsAsText(goals: readonly Goal[]): string {
  const texts = goals.map((goal) => ({ system: shortName(goal.system), text: goalAsText(goal) }));
  if (distinct(texts.map(({ text }) => text)).length === 1) return texts[0]!.text;
  return texts.map(({ system, text }) => `${system} ${text}`).join("; ");
}

function goalAsText(goal: Goal): string {
  if ("noMoreThan" in goal) return `≤ ${goal.noMoreThan}`;
  return "atLeast" in goal ? `≥ ${formatNumber(goal.atLeast)}` : `≤ ${formatNumber(goal.atMost)}`;
}

function limitOf(goal: Exclude<Goal, { noMoreThan: unknown }>): number {
  return "atLeast" in goal ? goal.atLeast : goal.atMost;
}

function formatFigure(figure: Figure | undefined): string {
  return figure === undefined ? "" : formatNumber(figure.value);
}

export function withUnit(label: string, unit: string): string {
  return unit === "" ? label : `${label} (${unit})`;
}

function shortName(system: string): string {
  return system.replace("Millrace, ", "");
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
