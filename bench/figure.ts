/** The systems that are measured beside each other, in the order of the table's columns. */
export const SYSTEMS = [
  "Dask",
  "Ray",
  "piscina",
  "BullMQ + piscina",
  "Millrace, embedded",
  "Millrace, Redis",
] as const;

export type SystemName = (typeof SYSTEMS)[number];

/** One figure of a benchmark: a line of `--json`. */
export interface Figure {
  readonly group: string;
  readonly measure: string;
  /** One of {@link SYSTEMS}, or one of them as it was cut: "Millrace, Redis, 2 workers". */
  readonly system: string;
  readonly unit: string;
  /** The median of the rounds. */
  readonly value: number;
  /** What each round gave, where there were several. */
  readonly rounds?: readonly number[];
  /** Of a figure in a row of growing sizes: the size. */
  readonly at?: number;
}

/** What the figures were measured on: the first line of `--json`. */
export interface Machine {
  readonly date: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly platform: string;
  readonly isQuick: boolean;
  /** The version of each program; null, one that is not there. */
  readonly versions: Readonly<Record<string, string | null>>;
}

export interface Report {
  readonly machine: Machine;
  readonly figures: readonly Figure[];
}

/** Reads what `--json` wrote. Several runs may follow each other: what is measured again counts as it was last. */
export function parseReport(lines: string): Report {
  let machine: Machine | undefined;
  const figures = new Map<string, Figure>();
  for (const line of lines.split("\n")) {
    if (!line.startsWith("{")) continue;
    const parsed = JSON.parse(line) as Figure | { machine: Machine };
    if ("machine" in parsed) machine = parsed.machine;
    else figures.set(`${parsed.group} ${parsed.measure} ${parsed.system} ${parsed.at}`, parsed);
  }
  if (machine === undefined) throw new Error("Expected a line that says what machine it was; got none.");
  return { machine, figures: [...figures.values()] };
}
