/** Random plans for fast-check: graphs of all shapes, most of whose nodes do nothing unusual. */
import fc from "fast-check";
import {
  CONTAINERS,
  type Edge,
  type GraphPlan,
  type NodePlan,
  type NodeWork,
  OTHER_QUEUE,
  type WaitEdge,
} from "./plan.ts";

const MOST_NODES = 60;
const MOST_INNER_NODES = 6;

/** Graphs of up to 60 nodes, some of which submit small graphs of their own. */
export function graphs(): fc.Arbitrary<GraphPlan> {
  return graphOf(drawnNode(drawnNode(drawnNode())), MOST_NODES).map(printable);
}

/** Whose end ends what: when the node `after` is final, the run `target` is cancelled, or the whole flow run. */
export interface Cancellation {
  readonly after: number;
  /** Undefined: the flow run. */
  readonly target: number | undefined;
}

export function cancellations(): fc.Arbitrary<Cancellation> {
  const place = fc.nat(MOST_NODES - 1);
  return fc.record({ after: place, target: fc.option(place, { nil: undefined }) });
}

// ---- Shapes ------------------------------------------------------------------------------------------------------

/** Which nodes before it the node number `index` of `size` needs; undefined: those that are drawn, at most `reach` before it. */
type Shape = ((index: number, size: number) => number[]) | { readonly reach: number };

/** Rows of `width` nodes; `columns` gives what the node of a column needs of the row above. */
function rows(width: number, columns: (column: number, row: number) => number[]): Shape {
  return (index) => {
    const row = Math.floor(index / width);
    if (row === 0) return [];
    return columns(index % width, row)
      .filter((column) => column >= 0 && column < width)
      .map((column) => (row - 1) * width + column);
  };
}

const SHAPES: Record<string, Shape> = {
  near: { reach: 3 },
  far: { reach: MOST_NODES },
  apart: () => [],
  chain: (index) => (index === 0 ? [] : [index - 1]),
  chains: (index) => (index < 3 ? [] : [index - 3]),
  fanOut: (index) => (index === 0 ? [] : [(index - 1) >> 1]),
  fanIn: (index, size) =>
    [2 * (size - index) - 1, 2 * (size - index)]
      .map((fromEnd) => size - 1 - fromEnd)
      .filter((child) => child >= 0),
  star: (index, size) => (index === 0 ? [] : index === size - 1 ? range(1, index) : [0]),
  diamonds: (index) =>
    [[index - 1], [index - 1], [index - 2], [index - 2, index - 1]][index % 4]!.filter((n) => n >= 0),
  stencil: rows(5, (column) => [column - 1, column, column + 1]),
  fft: rows(8, (column, row) => [column, column ^ (1 << ((row - 1) % 3))]),
  allToAll: rows(6, () => range(0, 6)),
};

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n);
}

// ---- Nodes -------------------------------------------------------------------------------------------------------

/** What is drawn for a node, before its graph gives it its place. */
interface Draft {
  readonly work: Loose<NodeWork>;
  readonly isGathered: boolean;
  readonly afterwards: NodePlan["afterwards"] | undefined;
  readonly edges: readonly (Omit<Edge, "from"> & { readonly back: number })[];
  readonly waits: readonly (Omit<WaitEdge, "from"> & { readonly back: number })[];
}

/** Mostly the first; each of the others now and then. */
function mostly<T>(usual: T, weight: number, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(usual, ...others) },
  );
}

function drawnNode(innerNode?: fc.Arbitrary<Draft>): fc.Arbitrary<Draft> {
  const inner: fc.Arbitrary<NodeWork["inner"]> =
    innerNode === undefined
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 14, arbitrary: fc.constant(undefined) },
          {
            weight: 1,
            arbitrary: fc
              .tuple(graphOf(innerNode, MOST_INNER_NODES), mostly(true, 1, false))
              .map(([graph, isAwaited]) => ({ ...graph, isAwaited })),
          },
        );
  const back = fc.nat(MOST_NODES - 1);
  const allowsFailure = mostly(false, 3, true);
  return fc.record({
    work: fc.record({
      constant: fc.nat(99),
      value: mostly<NodeWork["value"]>(undefined, 4, "structure", "structure", "structure", "bytes"),
      returns: mostly<NodeWork["returns"]>(undefined, 5, "Completed", "Completed", "Failed", "Cancelled"),
      failures: mostly(0, 3, 1, 2, 9),
      outlastsTime: mostly(false, 40, true),
      retries: mostly(0, 2, 1, 2),
      retryDelaySeconds: mostly(0, 1, 0.001),
      isAsync: fc.boolean(),
      effortMs: mostly(0, 1, 1, 3),
      cacheGroup: mostly<number | undefined>(undefined, 5, 1, 2),
      isLimited: mostly(false, 8, true),
      priority: mostly(0, 12, 1),
      queue: mostly<NodeWork["queue"]>(undefined, 12, OTHER_QUEUE),
      inner,
    }),
    isGathered: fc.boolean(),
    afterwards: mostly<NodePlan["afterwards"]>(undefined, 10, "give up the turn", "wait for it"),
    edges: fc.array(
      fc.record({ back, allowsFailure, container: mostly<Edge["container"]>(undefined, 1, ...CONTAINERS) }),
      {
        maxLength: 4,
      },
    ),
    waits: fc.oneof(
      { weight: 6, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(fc.record({ back, allowsFailure }), { maxLength: 2 }) },
    ),
  }) as fc.Arbitrary<Draft>;
}

function graphOf(node: fc.Arbitrary<Draft>, maxNodes: number): fc.Arbitrary<GraphPlan> {
  return fc
    .record({
      shape: fc.constantFrom(...Object.keys(SHAPES)),
      // Behind a failure nothing runs: so that deep graphs are run at all, all goes well in one of two.
      isCalm: fc.boolean(),
      drafts: fc.array(node, { minLength: 1, maxLength: maxNodes, size: "max" }),
    })
    .map(({ shape, isCalm, drafts }) => ({
      nodes: likeTheirGroup(
        drafts.map((draft, index) => planned(draft, index, drafts.length, SHAPES[shape]!, isCalm)),
      ),
    }));
}

function planned(draft: Draft, index: number, size: number, shape: Shape, isCalm: boolean): NodePlan {
  const { work, edges, waits, isGathered, afterwards } = draft;
  const before = (back: number, reach: number) => index - 1 - (back % Math.min(index, reach));
  const needed =
    typeof shape === "function" ? shape(index, size) : edges.map(({ back }) => before(back, shape.reach));
  const inputs = needed.map((from, n) => {
    const { allowsFailure, container } = edges[n % edges.length] ?? {};
    return compact<Edge>({ from, allowsFailure, container });
  });
  const waitFor = waits.map(({ back, allowsFailure }) =>
    compact<WaitEdge>({ from: before(back, MOST_NODES), allowsFailure }),
  );
  const needs = index === 0 ? {} : { inputs, waitFor };
  return compact<NodePlan>({ ...(isCalm ? calmed(work) : possible(work)), ...needs, isGathered, afterwards });
}

/** How far a graph inside gets before a time-out is left open, so there is none. */
function possible(work: Loose<NodeWork>): Loose<NodeWork> {
  return work.outlastsTime ? { ...work, inner: undefined } : work;
}

/** It may fail at first, and completes in the end. */
function calmed(work: Loose<NodeWork>): Loose<NodeWork> {
  const { failures = 0, retries = 0, returns } = work;
  return {
    ...work,
    outlastsTime: false,
    failures: Math.min(failures, retries),
    returns: returns === "Completed" ? returns : undefined,
  };
}

/** Equal calls do the same: what the nodes of a cache group do is what the first of them does. */
function likeTheirGroup(nodes: readonly NodePlan[]): NodePlan[] {
  return nodes.map((node) => {
    const { cacheGroup, inputs, waitFor, isGathered, afterwards } = node;
    if (cacheGroup === undefined) return node;
    const first = nodes.find((other) => other.cacheGroup === cacheGroup) as NodePlan;
    return compact<NodePlan>({ ...first, inputs, waitFor, isGathered, afterwards });
  });
}

// ---- What is printed of a counterexample -------------------------------------------------------------------------

type Loose<T> = { readonly [Name in keyof T]: T[Name] | undefined };

/** Without what is as if it were not there. */
function compact<T extends object>(given: Loose<T>): T {
  const isThere = ([name, value]: [string, unknown]) =>
    name === "from" ||
    name === "constant" ||
    !(value === undefined || value === false || value === 0 || (Array.isArray(value) && value.length === 0));
  return Object.fromEntries(Object.entries(given).filter(isThere)) as T;
}

/** As JSON, which pasted into a test is the graph again. */
function printable(graph: GraphPlan): GraphPlan {
  return Object.defineProperty({ ...graph }, fc.toStringMethod, { value: () => JSON.stringify(graph) });
}
