import { describe, expect, test } from "vitest";
import { growBatch } from "./subgraph.ts";

/** A graph by the inputs of each of its nodes, which are called 0, 1, 2 … The seeds are those without inputs. */
type Graph = readonly (readonly number[])[];

interface Case {
  readonly graph: Graph;
  readonly workers?: number;
  readonly threads?: number;
  /** What every call takes, or each. */
  readonly ms?: number | readonly number[];
  /** Ready calls that are in the batch; the others are in another. Default: all that are ready. */
  readonly seeds?: readonly number[];
}

function grow({ graph, workers = 1, threads = 2, ms = 1, seeds }: Case): readonly number[] {
  const ready = [...graph.keys()].filter((node) => graph[node]!.length === 0);
  return growBatch(seeds ?? ready, {
    workers,
    slots: workers * threads,
    dependentsOf: (node) => {
      const dependents = [...graph.keys()].filter((other) => graph[other]!.includes(node));
      return dependents.length === 0 ? undefined : dependents;
    },
    waitsFor: (node) => graph[node]!.length,
    costMs: (node) => (typeof ms === "number" ? ms : ms[node]!),
  });
}

const chain = (length: number): Graph =>
  Array.from({ length }, (_, index) => (index === 0 ? [] : [index - 1]));
/** Each node of a level has two children on the next. */
const tree = (levels: number): Graph =>
  Array.from({ length: 2 ** levels - 1 }, (_, index) => (index === 0 ? [] : [(index - 1) >> 1]));
const fanIn = (width: number): Graph => [
  ...Array.from({ length: width }, () => []),
  [...Array(width).keys()],
];
const fanOut = (width: number): Graph => [[], ...Array.from({ length: width }, () => [0])];
/** Levels of `width` nodes, each with inputs at the places that `inputs` gives on the level before. */
const levels = (count: number, width: number, inputs: (place: number, level: number) => number[]): Graph =>
  Array.from({ length: count * width }, (_, index) => {
    const level = Math.floor(index / width);
    const above = inputs(index % width, level).filter((place) => place >= 0 && place < width);
    return level === 0 ? [] : above.map((place) => (level - 1) * width + place);
  });
const stencil = (count: number, width: number) =>
  levels(count, width, (place) => [place - 1, place, place + 1]);
const fft = (count: number, width: number) =>
  levels(count, width, (place, level) => [place, place ^ (1 << ((level - 1) % Math.log2(width)))]);
const allToAll = (count: number, width: number) => levels(count, width, () => [...Array(width).keys()]);

const allOf = (graph: Graph) => [...graph.keys()];
const upTo = (count: number) => [...Array(count).keys()];
/** What each of so many calls takes: 0.1 ms, and one of them 500 ms. */
const longAt = (place: number, count: number) => upTo(count).map((node) => (node === place ? 500 : 0.1));

describe("a batch takes along", () => {
  test.each<[string, Case, readonly number[]]>([
    ["nothing, when nothing waits for its calls", { graph: [[], []] }, [0, 1]],
    ["a chain, however long its calls", { graph: chain(500), ms: 100, workers: 4 }, allOf(chain(500))],
    ["no more than a thousand calls", { graph: chain(1500) }, allOf(chain(1000))],
    ["a tree, when its levels are short", { graph: tree(6), workers: 4, ms: 0.1 }, allOf(tree(6))],
    ["a tree as far as its levels are short", { graph: tree(6), workers: 4, ms: 1 }, allOf(tree(4))],
    ["a whole tree when there is one worker", { graph: tree(6), ms: 100 }, allOf(tree(6))],
    ["a sum with all that it is of", { graph: fanIn(10) }, allOf(fanIn(10))],
    ["no sum, when some of it is elsewhere", { graph: fanIn(10), seeds: [0, 1, 2] }, [0, 1, 2]],
    ["none of many long calls that wait for one, to spread them", { graph: fanOut(100), workers: 2 }, [0]],
    ["as many of them as the worker has threads", { graph: fanOut(2), workers: 2, ms: 100 }, [0, 1, 2]],
    ["many that are short", { graph: fanOut(100), workers: 2, ms: 0.01 }, allOf(fanOut(100))],
    ["the levels of a stencil", { graph: stencil(20, 2) }, allOf(stencil(20, 2))],
    ["what a part of a stencil decides", { graph: stencil(3, 4), seeds: [0, 1] }, [0, 1, 4]],
    ["the levels of an fft", { graph: fft(4, 8) }, allOf(fft(4, 8))],
    ["the pairs of an fft that are complete", { graph: fft(3, 4), seeds: [0, 1] }, [0, 1, 4, 5]],
    ["levels of which each call needs every one before", { graph: allToAll(5, 6) }, allOf(allToAll(5, 6))],
    [
      "none of those when one call is elsewhere",
      { graph: allToAll(5, 6), seeds: [0, 1, 2, 3, 4] },
      [0, 1, 2, 3, 4],
    ],
    [
      "a long call among short ones, and what follows it",
      { graph: chain(3), workers: 4, ms: [0.1, 500, 0.1] },
      [0, 1, 2],
    ],
    // With several workers, whose levels may be worth spreading: 8 ms are for one of two threads.
    ["a wide stencil of short calls", { graph: stencil(6, 8), workers: 2, ms: 0.1 }, allOf(stencil(6, 8))],
    ["its first level when they are long", { graph: stencil(6, 8), workers: 2, ms: 10 }, upTo(8)],
    ["a narrow one, whose levels it has threads for", { graph: stencil(6, 2), workers: 3, ms: 10 }, upTo(12)],
    [
      "what half a stencil decides, level by level",
      { graph: stencil(4, 8), workers: 3, ms: 0.1, seeds: upTo(4) },
      [0, 1, 2, 3, 8, 9, 10, 16, 17, 24],
    ],
    [
      "nothing of that when it is long",
      { graph: stencil(4, 8), workers: 3, ms: 10, seeds: upTo(4) },
      [0, 1, 2, 3],
    ],
    ["an fft of short calls", { graph: fft(4, 8), workers: 4, ms: 0.1 }, allOf(fft(4, 8))],
    ["its first level when they are long", { graph: fft(4, 8), workers: 4, ms: 10 }, upTo(8)],
    [
      "half an fft, until it needs the other half",
      { graph: fft(4, 8), workers: 2, ms: 0.1, seeds: upTo(4) },
      [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19],
    ],
    ["nothing of that when it is long", { graph: fft(4, 8), workers: 2, ms: 10, seeds: upTo(4) }, upTo(4)],
    ["all-to-all of short calls", { graph: allToAll(5, 6), workers: 3, ms: 0.1 }, allOf(allToAll(5, 6))],
    ["its first level when they are long", { graph: allToAll(5, 6), workers: 3, ms: 10 }, upTo(6)],
    [
      "no more than its own half of it",
      { graph: allToAll(5, 6), workers: 3, ms: 0.1, seeds: upTo(3) },
      upTo(3),
    ],
    [
      "the short calls of a level, and leaves behind a long one that would hold them back",
      { graph: fanOut(20), workers: 2, ms: longAt(7, 21) },
      upTo(21).filter((node) => node !== 7),
    ],
    [
      "with them what waits for them, and not what waits for the long one",
      { graph: [...fanOut(20), [1, 2], [6, 7]], workers: 2, ms: longAt(7, 23) },
      upTo(22).filter((node) => node !== 7),
    ],
    [
      "a level with a call that is not that long, as a whole",
      { graph: fanOut(3), workers: 2, ms: [0.1, 5, 0.1, 0.1] },
      upTo(4),
    ],
    [
      "neither the long one nor the others, when these are worth spreading themselves",
      { graph: fanOut(100), workers: 2, ms: longAt(7, 101) },
      [0],
    ],
    ["each call behind what it waits for", { graph: [[], [0, 3], [1], [0]] }, [0, 3, 1, 2]],
  ])("%s", (_, given, expected) => {
    const grown = grow(given);
    expect([...grown].sort((a, b) => a - b)).toEqual([...expected].sort((a, b) => a - b));
    for (const [place, node] of grown.entries())
      for (const input of given.graph[node]!) expect(grown.slice(0, place)).toContain(input);
  });
});
