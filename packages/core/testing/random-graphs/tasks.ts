/** Random graphs as tasks, in a module that workers import. Each attempt leaves in a file when it began and ended. */
import { appendFileSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import {
  allowFailure,
  Cancelled,
  Completed,
  Failed,
  getRunContext,
  type State,
  type Task,
  type TaskFuture,
  type TaskRunInfo,
  task,
} from "@millrace/core";
import { type Edge, type GraphPlan, LIMITED_TAG, type NodePlan, TIMEOUT_SECONDS } from "./plan.ts";
import { computedValue, digest, innerText, putInto, takeFrom } from "./values.ts";

/** What a task is told besides its inputs. */
interface Order {
  readonly node: NodePlan;
  /** The file to which all tasks of one flow run append. */
  readonly trace: string;
}

type NodeTask = Task<[Order, ...unknown[]], unknown>;

export const compute = task({ name: "compute" }, (order: Order, ...args: unknown[]) => {
  const end = noteStart(order);
  try {
    const until = performance.now() + (order.node.effortMs ?? 0);
    while (performance.now() < until);
    return resultOf(order, args, []);
  } finally {
    end();
  }
});

export const wait = task({ name: "wait" }, async (order: Order, ...args: unknown[]) => {
  const end = noteStart(order);
  try {
    const { effortMs = 0, outlastsTime = false } = order.node;
    await pause(effortMs);
    if (outlastsTime) await signalFires();
    return resultOf(order, args, []);
  } finally {
    end();
  }
});

export const nest = task({ name: "nest" }, async (order: Order, ...args: unknown[]) => {
  const end = noteStart(order);
  try {
    const inner = await runInner(order);
    await pause(order.node.effortMs ?? 0);
    return resultOf(order, args, inner);
  } finally {
    end();
  }
});

/**
 * Submits the graph to the run that this is called in: the flow's, or a task's.
 *
 * @param futures where the future of each node is put
 */
export async function submitGraph(
  { nodes }: GraphPlan,
  trace: string,
  futures: TaskFuture<unknown>[],
): Promise<void> {
  for (const node of nodes) {
    const future = submit({ node, trace }, futures);
    futures.push(future);
    if (node.afterwards === "wait for it") await future.wait();
    else if (node.afterwards === "give up the turn") await nextTurn();
  }
}

function submit(order: Order, futures: readonly TaskFuture<unknown>[]): TaskFuture<unknown> {
  const { inputs = [], waitFor = [], isGathered = false } = order.node;
  const args = inputs.map((edge) => argumentFor(edge, futures[edge.from] as TaskFuture<unknown>));
  const needed = waitFor.map(({ from, allowsFailure = false }) => {
    const future = futures[from] as TaskFuture<unknown>;
    return allowsFailure ? allowFailure(future) : future;
  });
  const options = {
    ...optionsOf(order.node),
    ...(needed.length > 0 && { waitFor: needed }),
  };
  return taskFor(order.node)
    .withOptions(options)
    .submit(order, ...(isGathered ? [args] : args));
}

function taskFor({ inner, isAsync = false, outlastsTime = false }: NodePlan): NodeTask {
  if (inner !== undefined) return nest;
  return isAsync || outlastsTime ? wait : compute;
}

/** The annotation is around the container when there is one: what it holds is found inside. */
function argumentFor({ container, allowsFailure = false }: Edge, future: TaskFuture<unknown>): unknown {
  const held = putInto(container, future);
  return allowsFailure ? allowFailure(held) : held;
}

function optionsOf(node: NodePlan) {
  const { retries = 0, retryDelaySeconds = 0, priority = 0, cacheGroup } = node;
  return {
    retries,
    retryDelaySeconds,
    priority,
    ...(node.queue !== undefined && { queue: node.queue }),
    ...(node.isLimited && { tags: [LIMITED_TAG] }),
    ...(node.outlastsTime && { timeoutSeconds: TIMEOUT_SECONDS }),
    ...(cacheGroup !== undefined && { cacheKeyFn: cacheKey }),
  };
}

/** Equal calls are of one group, have equal inputs, and are made by the same run. */
function cacheKey({ taskRunId }: TaskRunInfo, [order, ...args]: readonly [Order, ...unknown[]]): string {
  const scope = taskRunId.slice(0, taskRunId.lastIndexOf("-"));
  return `random graph ${scope} ${order.node.cacheGroup} ${digest(inputsIn(order.node, args))}`;
}

// ---- Inside an attempt -------------------------------------------------------------------------------------------

/** @returns what notes the end. The clock is the same in every process of a machine. */
function noteStart({ trace }: Order): () => void {
  const { taskRunId, attempt } = getRunContext();
  appendFileSync(trace, `${taskRunId} ${attempt} start ${process.hrtime.bigint()}\n`);
  return () => appendFileSync(trace, `${taskRunId} ${attempt} end ${process.hrtime.bigint()}\n`);
}

function resultOf({ node }: Order, args: readonly unknown[], inner: readonly string[]): unknown {
  const { constant, failures = 0 } = node;
  if (getRunContext().attempt <= failures) throw new RangeError(`thrown by ${constant}`);
  const value = computedValue(node, inputsIn(node, args), inner);
  switch (node.returns) {
    case undefined:
      return value;
    case "Completed":
      return Completed({ name: "Done", message: `done by ${constant}`, data: value });
    case "Failed":
      return Failed({ name: "Unfit", message: `failed by ${constant}` });
    case "Cancelled":
      return Cancelled({ message: `cancelled by ${constant}` });
  }
}

function inputsIn({ inputs = [], isGathered = false }: NodePlan, args: readonly unknown[]): unknown[] {
  const held = isGathered ? (args[0] as unknown[]) : args;
  return inputs.map(({ container }, index) => takeFrom(container, held[index]));
}

async function runInner({ node, trace }: Order): Promise<string[]> {
  const { nodes = [], isAwaited = false } = node.inner ?? {};
  const futures: TaskFuture<unknown>[] = [];
  await submitGraph({ nodes }, trace, futures);
  if (!isAwaited) return [];
  const states = await Promise.all(futures.map((future) => future.wait() as Promise<State>));
  const errors = futures.map((future) =>
    future
      .result()
      .then(() => undefined)
      .catch((error) => error),
  );
  return Promise.all(states.map(async ({ type, data }, index) => innerText(type, data, await errors[index])));
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await sleep(ms);
}

async function signalFires(): Promise<void> {
  const { signal } = getRunContext();
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
}
