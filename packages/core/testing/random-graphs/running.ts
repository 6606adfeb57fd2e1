/** Runs a graph as a flow, and gathers all that can be known of it. */
import { readFile } from "node:fs/promises";
import {
  type FlowRun,
  flow,
  observeRuns,
  type State,
  type TaskFuture,
  type TaskRunner,
  type TaskRunStateEvent,
} from "@millrace/core";
import type { Cancellation } from "./arbitrary.ts";
import { type GraphPlan, LIMITED_TAG } from "./plan.ts";
import { submitGraph } from "./tasks.ts";
import { errorText } from "./values.ts";

/** What became of a graph. Runs are known by their ids without the flow run's: `3`, and `3.1-0` inside its first attempt. */
export interface GraphRun {
  /** Type and message of the flow run's final state. */
  readonly flow: string;
  /** What the futures say, in the order of the nodes. */
  readonly results: readonly RunResult[];
  /** In the order in which they came. */
  readonly events: readonly SeenEvent[];
  /** What the tasks themselves have left, by run, in the order of their beginnings. */
  readonly attempts: ReadonlyMap<string, readonly Attempt[]>;
  /** When the flow run ended, on the clock of the attempts. */
  readonly endedNs: bigint;
  /** Undefined: nothing was cancelled, or the flow run had ended when it should have been. */
  readonly cancelled: Cancelled | undefined;
}

export interface Cancelled {
  /** Undefined: the flow run. */
  readonly target: number | undefined;
  /** The runs of the flow, in the order of the nodes, as they were when something was cancelled. */
  readonly before: readonly State[];
}

export interface SeenEvent extends TaskRunStateEvent {
  /** When the flow's process saw it, on the clock of the attempts. */
  readonly seenNs: bigint;
}

export interface RunResult {
  readonly state: State;
  readonly value: unknown;
  readonly error: string | undefined;
}

export interface Attempt {
  readonly number: number;
  readonly startedNs: bigint;
  /** Undefined: it had not ended when the flow run had. */
  readonly endedNs: bigint | undefined;
}

/** Where and when the tasks of a graph left their marks. */
export interface Trace {
  readonly file: string;
  readonly endedNs: bigint;
}

/** The runs that began an attempt after their flow run had ended. Ask later, when they have had time to. */
export async function startedLate({ file, endedNs }: Trace): Promise<string[]> {
  const attempts = attemptsIn(await readFile(file, "utf8").catch(() => ""), (id) => id);
  return [...attempts].flatMap(([id, own]) => (own.some(({ startedNs }) => startedNs > endedNs) ? [id] : []));
}

/** A graph takes a tenth of a second; one that takes longer than this hangs. */
const HANGS_AFTER_MS = 15_000;

export async function runGraph(
  plan: GraphPlan,
  taskRunner: TaskRunner,
  trace: string,
  cancellation?: Cancellation,
): Promise<GraphRun> {
  const futures: TaskFuture<unknown>[] = [];
  const seen: SeenEvent[] = [];
  const stop = observeRuns({
    "task-run-state": (event) => seen.push({ ...event, seenNs: process.hrtime.bigint() }),
  });
  try {
    const graph = flow(
      { name: "random-graph", taskRunner, concurrencyLimits: { [LIMITED_TAG]: 1 } },
      async () => {
        await submitGraph(plan, trace, futures);
        // Large values are asked for while the flow runs: they go with it.
        for (const future of futures) future.result().catch(() => {});
      },
    );
    const run = graph.start();
    const cancelled = cancellation && cancelOnTheWay(cancellation, run, plan, futures);
    const state = await finalState(run);
    const endedNs = process.hrtime.bigint();
    const prefix = `${run.id}-`;
    const ownId = (id: string) => id.slice(prefix.length);
    const events = seen
      .filter(({ flowRunId }) => flowRunId === run.id)
      .map((event) => ({ ...event, taskRunId: ownId(event.taskRunId), inputs: event.inputs.map(ownId) }));
    return {
      flow: `${state.type}: ${state.message}`,
      results: await Promise.all(futures.map(resultOf)),
      events,
      attempts: attemptsIn(await readFile(trace, "utf8").catch(() => ""), ownId),
      endedNs,
      cancelled: await cancelled,
    };
  } finally {
    stop();
  }
}

async function cancelOnTheWay(
  { after, target }: Cancellation,
  run: { readonly state: State; cancel(): Promise<State> },
  { nodes }: GraphPlan,
  futures: readonly TaskFuture<unknown>[],
): Promise<Cancelled | undefined> {
  const awaited = after % nodes.length;
  while (futures[awaited] === undefined && !run.state.isFinal()) await new Promise(setImmediate);
  await futures[awaited]?.wait();
  if (run.state.isFinal()) return undefined;
  const before = futures.map(({ state }) => state);
  if (target === undefined) void run.cancel();
  else void futures[target % nodes.length]?.cancel();
  return { target: target === undefined ? undefined : target % nodes.length, before };
}

/** @throws when the run hangs, with the runs that do not end, and who has them */
async function finalState(run: FlowRun<unknown>): Promise<State> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, HANGS_AFTER_MS, undefined);
  });
  const state = await Promise.race([run.wait(), late]);
  clearTimeout(timer);
  if (state !== undefined) return state;
  const open = (await run.openRuns()).map(
    ({ taskRunId, state, reason }) => `${taskRunId.slice(run.id.length + 1)} is ${state}: ${reason}`,
  );
  void run.cancel();
  throw new Error(
    `Expected the flow run to end, but ${open.join("; ") || "no run is open, and it"} did not.`,
  );
}

async function resultOf(future: TaskFuture<unknown>): Promise<RunResult> {
  const { state } = future;
  return future.result().then(
    (value) => ({ state, value, error: undefined }),
    (error: unknown) => ({ state, value: undefined, error: errorText(error) }),
  );
}

function attemptsIn(text: string, ownId: (id: string) => string): Map<string, Attempt[]> {
  const attempts = new Map<string, Attempt[]>();
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const [id, attempt, what, time] = line.split(" ") as [string, string, string, string];
    const own = attempts.get(ownId(id)) ?? [];
    attempts.set(ownId(id), own);
    const number = Number(attempt);
    if (what === "start") own.push({ number, startedNs: BigInt(time), endedNs: undefined });
    else {
      const begun = own.findLastIndex((other) => other.number === number && other.endedNs === undefined);
      own[begun] = { ...(own[begun] as Attempt), endedNs: BigInt(time) };
    }
  }
  return attempts;
}
