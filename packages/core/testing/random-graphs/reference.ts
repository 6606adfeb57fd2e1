/**
 * What is to become of a graph, by the rules alone: an interpreter that knows no concurrency, no runner and no event
 * loop. It takes the nodes one after the other, each with all that it needs behind it.
 */
import type { StateType } from "@millrace/core";
import {
  type Edge,
  type GraphPlan,
  type NodePlan,
  TIMEOUT_SECONDS,
  upstreamOf,
  type WaitEdge,
} from "./plan.ts";
import { computedValue, digest, innerText } from "./values.ts";

export interface Expected {
  readonly type: StateType;
  readonly name: string;
  /** Undefined: see `unfit`. */
  readonly message: string | undefined;
  /** Of a completed run. */
  readonly value: unknown;
  /** Class and message of what `result()` rejects with; its beginning, for a run that never started. */
  readonly error: string | undefined;
  /** Attempts that the function gets. */
  readonly attempts: number;
  /** The nodes that keep this one from starting: its message names one of them. */
  readonly unfit: readonly number[];
  /** What becomes of the graph inside, in each attempt. */
  readonly inner: readonly Expected[];
  /** Of equal calls that complete, one runs; the others end COMPLETED, named Cached. */
  readonly cacheKey: string | undefined;
}

export function expectedOf({ nodes }: GraphPlan): Expected[] {
  const known: Expected[] = [];
  for (const node of nodes) known.push(expect(node, known));
  return known;
}

function expect(node: NodePlan, known: readonly Expected[]): Expected {
  const upstream = upstreamOf(node);
  const strict = new Set(
    upstream.filter(({ allowsFailure = false }) => !allowsFailure).map(({ from }) => from),
  );
  const unfit = unfitAmong(upstream, ({ from }) => lets(known[from] as Expected, !strict.has(from)));
  if (unfit.length > 0) return { ...NOT_READY, unfit };
  const inputs = (node.inputs ?? []).map((edge) => inputFor(edge, known));
  const inner = node.inner === undefined ? [] : expectedOf(node.inner);
  const attempts = 1 + Math.min(node.retries ?? 0, failingAttempts(node));
  return {
    ...endOf(node, attempts, inputs, inner),
    attempts,
    unfit: [],
    inner,
    cacheKey: node.cacheGroup === undefined ? undefined : `${node.cacheGroup} ${digest(inputs)}`,
  };
}

function unfitAmong(upstream: readonly WaitEdge[], isFit: (edge: WaitEdge) => boolean): number[] {
  return [...new Set(upstream.filter((edge) => !isFit(edge)).map(({ from }) => from))];
}

/** A failure that is allowed in one place and not in another is not allowed. */
function lets({ type }: Expected, allowsFailure: boolean): boolean {
  return type === "COMPLETED" || (allowsFailure && type === "FAILED");
}

/** The value, or the error that is allowed, whose digest is that of its text. */
function inputFor({ from }: Edge, known: readonly Expected[]): unknown {
  const { type, value, error = "" } = known[from] as Expected;
  return type === "COMPLETED" ? value : errorLike(error);
}

function errorLike(text: string): Error {
  const [name = "", message] = text.split(/: (.*)/s);
  return Object.assign(new Error(message), { name });
}

/** How many attempts would fail, were there no end to them. */
function failingAttempts({ outlastsTime = false, returns, failures = 0 }: NodePlan): number {
  return outlastsTime || returns === "Failed" ? Number.POSITIVE_INFINITY : failures;
}

type End = Pick<Expected, "type" | "name" | "message" | "value" | "error">;

/** How the last attempt ends. */
function endOf(node: NodePlan, attempt: number, inputs: readonly unknown[], inner: readonly Expected[]): End {
  const { constant, returns, failures = 0, outlastsTime = false } = node;
  if (outlastsTime) {
    const message = `Task run exceeded timeout of ${TIMEOUT_SECONDS} seconds`;
    return failed("TimedOut", message, `RunTimeoutError: ${message}`);
  }
  if (attempt <= failures) {
    const error = `RangeError: thrown by ${constant}`;
    return failed("Failed", `Task run encountered an exception: ${error}`, error);
  }
  if (returns === "Failed") {
    return failed("Unfit", `failed by ${constant}`, `FailedRunError: failed by ${constant}`);
  }
  if (returns === "Cancelled") {
    const message = `cancelled by ${constant}`;
    const error = `CancelledRunError: ${message}`;
    return { type: "CANCELLED", name: "Cancelled", message, value: undefined, error };
  }
  const isInnerUsed = node.inner?.isAwaited ?? false;
  const texts = isInnerUsed
    ? inner.map((run) => innerText(run.type, run.value, errorLike(run.error ?? "")))
    : [];
  const isByHand = returns === "Completed";
  return {
    type: "COMPLETED",
    name: isByHand ? "Done" : "Completed",
    message: isByHand ? `done by ${constant}` : "",
    value: computedValue(node, inputs, texts),
    error: undefined,
  };
}

function failed(name: string, message: string, error: string): End {
  return { type: "FAILED", name, message, value: undefined, error };
}

const NOT_READY: Omit<Expected, "unfit"> = {
  type: "PENDING",
  name: "NotReady",
  message: undefined,
  value: undefined,
  error: "UnfinishedRunError: ",
  attempts: 0,
  inner: [],
  cacheKey: undefined,
};

/** The state of a flow that returns nothing and whose runs end so. */
export function expectedFlow(runs: readonly { readonly type: string }[]): string {
  const of = (...types: string[]) => runs.filter(({ type }) => types.includes(type)).length;
  const total = runs.length;
  if (of("COMPLETED") === total) return "COMPLETED: All states completed.";
  if (of("CANCELLED") > 0) return `CANCELLED: ${of("CANCELLED")}/${total} states cancelled.`;
  if (of("FAILED", "CRASHED") > 0) return `FAILED: ${of("FAILED", "CRASHED")}/${total} states failed.`;
  return `FAILED: ${of("PENDING")}/${total} states are not final.`;
}
