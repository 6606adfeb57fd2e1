/** Compares what a benchmark gave with several values of a constant: what is asked for, and the table. Pure functions. */
import { parseArgs } from "node:util";
import type { Figure } from "./figure.ts";
import { median } from "./measure.ts";
import { formatNumber, type Table, withUnit } from "./table.ts";

/** What `npm run bench:tune` was asked for. */
export interface Tuning {
  /** The source of the constant, such as `packages/broker/src/dispatch/batch-plan.ts`. */
  readonly file: string;
  readonly constant: string;
  readonly values: readonly string[];
  readonly rounds: number;
  readonly isJson: boolean;
  /** For main.ts: what to measure. */
  readonly benchFlags: readonly string[];
}

/** What one run of the benchmark gave with one value. */
export interface Run {
  readonly value: string;
  readonly figures: readonly Figure[];
}

/** A figure, and what it was with each value: the median of the rounds. */
export interface Comparison extends Omit<Figure, "value" | "rounds"> {
  readonly values: Readonly<Record<string, { readonly value: number; readonly rounds: readonly number[] }>>;
}

const USAGE =
  "npm run bench:tune -- packages/<package>/src/<file>.ts:<CONSTANT> <value> <value> … --only <group> [--system <name>] [--measure <start>] [--rounds <n>] [--quick] [--json]";

/** @throws Error that says what was expected */
export function parseTuning(args: readonly string[]): Tuning {
  const many = { type: "string", multiple: true, default: [] as string[] } as const;
  const { values: flags, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: many,
      system: many,
      measure: many,
      rounds: { type: "string", default: "3" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const [what = "", ...values] = positionals;
  const [, file, constant] = /^(packages\/[\w-]+\/src\/[\w/-]+\.ts):(\w+)$/.exec(what) ?? [];
  if (file === undefined || constant === undefined) {
    throw new Error(`Expected the file of a constant and its name, got \`${what}\`: ${USAGE}`);
  }
  const wrong = values.find((value) => value.trim() === "" || Number.isNaN(Number(value)));
  if (wrong !== undefined) throw new Error(`Expected numbers for values, got \`${wrong}\`.`);
  if (values.length === 0) throw new Error(`Expected the values to compare, got none: ${USAGE}`);
  if (flags.only.length === 0) throw new Error(`Expected --only with a group of the benchmarks: ${USAGE}`);
  const rounds = Number(flags.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`--rounds: expected a positive integer, got \`${flags.rounds}\`.`);
  }
  const repeated = (["only", "system", "measure"] as const).flatMap((name) =>
    flags[name].flatMap((value) => [`--${name}`, value]),
  );
  const benchFlags = [...repeated, ...(flags.quick ? ["--quick"] : [])];
  return { file, constant, values, rounds, isJson: flags.json, benchFlags };
}

/** The built file of a source. */
export function builtFileOf(source: string): string {
  return source.replace("/src/", "/dist/").replace(/\.ts$/, ".js");
}

/** Every figure, in the order in which they came first, each of Millrace followed by its ratio to its peer. */
export function compare(runs: readonly Run[]): Comparison[] {
  const collected = new Map<string, { figure: Omit<Comparison, "values">; rounds: Map<string, number[]> }>();
  for (const run of runs) {
    for (const { value, rounds: _, ...figure } of withRatios(run.figures)) {
      const key = JSON.stringify(figure);
      const entry = collected.get(key) ?? { figure, rounds: new Map<string, number[]>() };
      collected.set(key, entry);
      entry.rounds.set(run.value, [...(entry.rounds.get(run.value) ?? []), value]);
    }
  }
  return [...collected.values()].map(({ figure, rounds }) => ({
    ...figure,
    values: Object.fromEntries(
      [...rounds].map(([value, all]) => [value, { value: median(all), rounds: all }]),
    ),
  }));
}

/** A row for each figure, a column for each value; the one that the source has is marked. */
export function comparisonTable(
  { constant, values }: Pick<Tuning, "constant" | "values">,
  inSource: string,
  comparisons: readonly Comparison[],
): Table {
  return {
    title: `${constant}, in the source ${inSource}`,
    head: ["measure", ...values.map((value) => (isSame(value, inSource) ? `${value} (source)` : value))],
    rows: comparisons.map(({ measure, system, unit, at, values: measured }) => {
      const size = at === undefined ? "" : ` at ${at.toLocaleString("en")}`;
      const cells = values
        .map((value) => measured[value])
        .map((cell) => (cell ? formatNumber(cell.value) : ""));
      return [`${withUnit(`${measure}${size}`, unit)}, ${system}`, ...cells];
    }),
  };
}

/** Within one run, since machine and minute are the same for both. */
function withRatios(figures: readonly Figure[]): Figure[] {
  return figures.flatMap((figure) => {
    const peer = peersOf(figure.system)
      .map((name) => figures.find((other) => other.system === name && isSameMeasure(other, figure)))
      .find((found) => found !== undefined);
    if (peer === undefined) return [figure];
    const system = `${figure.system} ÷ ${peer.system}`;
    return [figure, { ...figure, system, unit: "", value: figure.value / peer.value }];
  });
}

/** What does the same without Millrace: the nearest first. */
function peersOf(system: string): readonly string[] {
  if (system.startsWith("Millrace, Redis")) return ["BullMQ + piscina", "piscina"];
  return system.startsWith("Millrace, embedded") ? ["piscina"] : [];
}

function isSameMeasure(one: Figure, other: Figure): boolean {
  return one.group === other.group && one.measure === other.measure && one.at === other.at;
}

/** The source may have it as a product: `64 * 1024`. */
function isSame(value: string, inSource: string): boolean {
  const factors = inSource.split("*").map((factor) => Number(factor.replaceAll("_", "")));
  return Number(value) === factors.reduce((a, b) => a * b);
}
