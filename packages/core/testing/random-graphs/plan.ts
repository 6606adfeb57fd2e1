/**
 * A graph of task runs as plain data: what the tasks do, what they need, and how the flow submits them. It travels to
 * workers as an argument. What is left out is the default, so that a printed plan shows what matters.
 */
export interface GraphPlan {
  readonly nodes: readonly NodePlan[];
}

/** One task run. Nodes are submitted in their order, and need only nodes before them. */
export interface NodePlan extends NodeWork {
  /** Arguments of the run. Default: none. */
  readonly inputs?: readonly Edge[];
  /** true: the inputs are parts of one argument, an array. Default: each is an argument. */
  readonly isGathered?: boolean;
  readonly waitFor?: readonly WaitEdge[];
  /** What the submitting function does next. Default: goes on at once. */
  readonly afterwards?: "give up the turn" | "wait for it";
}

/** What nodes of one cache group have in common. */
export interface NodeWork {
  /** Goes into the value and the error of the run. */
  readonly constant: number;
  /** What the value is made of. Default: a number. */
  readonly value?: "structure" | "bytes";
  /** A state made by hand that the function returns. Default: none, it returns the value. */
  readonly returns?: "Completed" | "Failed" | "Cancelled";
  /** How many attempts throw, of those that there are. Default: 0. */
  readonly failures?: number;
  /** The function ends only with its time-out. */
  readonly outlastsTime?: boolean;
  readonly retries?: number;
  readonly retryDelaySeconds?: number;
  /** Default: the function returns a value, and no promise. */
  readonly isAsync?: boolean;
  /** For how long the function computes, or awaits when it is async. Default: 0. */
  readonly effortMs?: number;
  /** Nodes of one group whose inputs have equal values are equal calls. Default: not cached. */
  readonly cacheGroup?: number;
  /** Needs the one slot that there is for such nodes. */
  readonly isLimited?: boolean;
  readonly priority?: number;
  /** Workers of which queue run it. Default: those of the task runner's. */
  readonly queue?: typeof OTHER_QUEUE;
  /** A graph that the function submits itself. */
  readonly inner?: GraphPlan & {
    /** Does the function await it, and use its outcome? Else the engine alone does. */
    readonly isAwaited?: boolean;
  };
}

export interface WaitEdge {
  /** The place of the node that is needed. */
  readonly from: number;
  /** May that node have failed? Default: no. */
  readonly allowsFailure?: boolean;
}

export interface Edge extends WaitEdge {
  /** Where in the argument the future is. Default: it is the argument. */
  readonly container?: Container;
}

export const CONTAINERS = ["array", "object", "map", "map key", "set", "deep"] as const;
export type Container = (typeof CONTAINERS)[number];

/** Served by the clusters of the tests, besides the default one. */
export const OTHER_QUEUE = "other";

/** The tag of nodes that need a slot, and how long one that outlasts its time may take. */
export const LIMITED_TAG = "one at a time";
export const TIMEOUT_SECONDS = 0.02;

/** Nodes that a node needs, whatever for. */
export function upstreamOf({ inputs = [], waitFor = [] }: NodePlan): readonly WaitEdge[] {
  return [...inputs, ...waitFor];
}
