import type { Figure } from "../figure.ts";
import { median } from "../measure.ts";
import type { PythonPeer } from "../systems/python.ts";

/** What a group measures with, and tells its figures to. */
export interface Bench {
  /** Small sizes: is everything still there and does it work? Its figures mean nothing. */
  readonly isQuick: boolean;
  /** The Python peers that this machine has. */
  readonly peers: readonly PythonPeer[];
  /** Of Task Bench, every pattern and not just the one of METG. */
  readonly withAllPatterns: boolean;
  /** How many rounds to measure in, of a group that has so many. */
  rounds(usual: number): number;
  /** Whether a figure of this system, or of this measure, is asked for: what is not need not be measured. */
  wants(figure: { readonly system?: string; readonly measure?: string }): boolean;
  record(figure: Figure): void;
  /** Says what is being measured, for whoever waits. */
  progress(text: string): void;
}

/** Measures that belong together, and are run together: `npm run bench -- --only <name>`. */
export interface Group {
  readonly name: string;
  run(bench: Bench): Promise<void>;
}

type Unmeasured = Omit<Figure, "value" | "rounds">;

/** Collects what rounds give, by measure and system, and makes a figure of each: systems take turns, round by round. */
export class Rounds {
  readonly #collected = new Map<string, { figure: Unmeasured; rounds: number[] }>();

  add(figure: Unmeasured, value: number): void {
    const key = JSON.stringify(figure);
    const entry = this.#collected.get(key) ?? { figure, rounds: [] as number[] };
    this.#collected.set(key, entry);
    entry.rounds.push(value);
  }

  /** The figures in the order in which they came first. */
  recordIn(bench: Bench): void {
    for (const { figure, rounds } of this.#collected.values()) {
      bench.record({ ...figure, value: median(rounds), rounds });
    }
  }
}
