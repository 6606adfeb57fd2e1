/** Graphs of tasks that need one another, some of which fail: what is behind a failed one never runs, and the others do. */
import { Random } from "./random.ts";

export interface GraphNode {
  /** Nodes before it, by their places, whose values it needs. */
  readonly needs: readonly number[];
  readonly fails: boolean;
  readonly isAsync: boolean;
  readonly effortMs: number;
}

/** So far back a node may look for what it needs. */
const REACH = 6;

const FAILING = 0.12;

/** The graph of so many nodes. */
export function graphOf(size: number): readonly GraphNode[] {
  const random = new Random(size);
  return Array.from({ length: size }, (_, place) => {
    const near = Array.from({ length: Math.min(REACH, place) }, (_, back) => place - 1 - back);
    return {
      needs: random.shuffled(near).slice(0, random.between(0, 3)),
      fails: random.next() < FAILING,
      isAsync: random.next() < 0.5,
      effortMs: random.between(0, 3),
    };
  });
}

/** What a node gives. */
export function nodeValue(inputs: readonly number[]): number {
  return (inputs.reduce((a, b) => a + b, 1) * 31) % 1_000_003;
}

/** The sum of what the nodes give that end well. */
export function graphAnswer(size: number): number {
  const values: (number | undefined)[] = [];
  for (const { needs, fails } of graphOf(size)) {
    const inputs = needs.map((place) => values[place]).filter((value) => value !== undefined);
    values.push(fails || inputs.length < needs.length ? undefined : nodeValue(inputs));
  }
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}
