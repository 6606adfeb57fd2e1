import type { SystemName } from "../figure.ts";
import { elapsedMs } from "../measure.ts";
import { checkOutput } from "../task-bench/kernel.js";
import type { Graph } from "../task-bench/patterns.ts";

/** A system at work, with its workers started: each measure is written once, and every system does the same. */
export interface System extends AsyncDisposable {
  readonly name: SystemName;
  /** Milliseconds from the first submit of so many tasks that do nothing to the last result. */
  noops(count: number): Promise<number>;
  /** The same of async functions; left out where functions are not JavaScript's. */
  asyncNoops?(count: number): Promise<number>;
  /** Milliseconds of each of so many tasks that do nothing, each submitted when the one before has returned. */
  latencies(count: number): Promise<number[]>;
  /** Milliseconds for so many tasks, all submitted at once where that can be, each of which needs the one before. */
  chain(length: number): Promise<number>;
  /** Milliseconds for so many tasks that each compute for one millisecond. */
  spins(count: number): Promise<number>;
  /** The kernel's iterations per millisecond of all cores at once, measured in the tasks, each with so many. */
  peak(iterations: number): Promise<number>;
  /** Milliseconds from before the first submit of a graph until every task of it has returned. */
  graph(graph: Graph, iterations: number): Promise<number>;
}

/** A system that can be started: what `open` takes is not measured. */
export interface SystemEntry {
  readonly name: SystemName;
  open(): Promise<System>;
}

/** Submits one task of a graph, which needs the outputs of those of the step before. */
type SubmitPoint<Handle> = (step: number, at: number, needs: readonly number[], inputs: Handle[]) => Handle;

/**
 * Milliseconds from before the first submit of a graph until every task of it has returned; then checks the last outputs.
 *
 * @param allReturned waits for these tasks, of one step; rejects when one has failed
 */
export async function graphMs<Handle extends PromiseLike<Uint8Array>>(
  graph: Graph,
  submit: SubmitPoint<Handle>,
  allReturned: (handles: readonly Handle[]) => Promise<unknown>,
): Promise<number> {
  let steps: Map<number, Handle>[] = [];
  const elapsed = await elapsedMs(async () => {
    steps = submitGraph(graph, submit);
    for (const step of steps) await allReturned([...step.values()]);
  });
  for (const [at, output] of steps.at(-1)!) checkOutput(steps.length - 1, at, await output);
  return elapsed;
}

/** Submits a graph step by step; gives the handles of each step. */
function submitGraph<Handle>(graph: Graph, submit: SubmitPoint<Handle>): Map<number, Handle>[] {
  const steps: Map<number, Handle>[] = [];
  for (const [step, points] of graph.entries()) {
    const before = steps.at(-1);
    const handles = new Map<number, Handle>();
    for (const { at, inputs } of points) {
      handles.set(
        at,
        submit(
          step,
          at,
          inputs,
          inputs.map((input) => before!.get(input)!),
        ),
      );
    }
    steps.push(handles);
  }
  return steps;
}
