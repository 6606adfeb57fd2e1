import type { RunScope } from "./run-scope.ts";

/**
 * Why a task run is not final: who holds it, or what it waits for. Times are milliseconds since the epoch.
 *
 * Those of a run that its engine has:
 */
export type WhyOpen =
  /** It needs the results of these runs, none of which is final. */
  | { readonly type: "awaits-runs"; readonly taskRunIds: readonly string[] }
  /** It failed, and is tried again at that time. */
  | { readonly type: "awaits-retry"; readonly until: number }
  /** Others hold the slots of these limits. */
  | { readonly type: "awaits-slot"; readonly limits: readonly string[] }
  /** Another run, here or in another process, computes the result that this one would. */
  | { readonly type: "awaits-cached-result" }
  /** The engine does something for it that takes time: reads its large inputs, asks the result store, or a function of the user. */
  | { readonly type: "prepares"; readonly step: Step }
  /** It stands for a flow run that was called in its flow. */
  | { readonly type: "subflow"; readonly flowRunId: string; readonly flowRunState: string }
  // Those of a call that its runner has.
  | CallPlace
  /** Nobody holds it, and nothing will end it: a bug of Millrace. */
  | { readonly type: "unknown" };

export type Step = "loads-inputs" | "reads-cache" | "awaits-cached-result" | "keeps-result" | "asks-retry";

/** Where a call is that a runner was given. */
export type CallPlace =
  /** Its function runs in this process. */
  | { readonly type: "runs-here" }
  /** In this process, behind so many calls: the runner executes no more at once. */
  | { readonly type: "awaits-turn"; readonly ahead: number }
  /** In this process, behind `ahead` calls: the workers have as many calls, `withWorkers`, as they can use. */
  | {
      readonly type: "awaits-window";
      readonly queue: string;
      readonly ahead: number;
      readonly withWorkers: number;
    }
  /** In the queue, from which a worker will take it. */
  | { readonly type: "queued"; readonly queue: string; readonly workers: number }
  /** No worker that lives serves the queue. */
  | { readonly type: "no-workers"; readonly queue: string }
  /**
   * A worker has it. `isAlive` false: its heartbeat has ended, and its calls are sent again within seconds. `awaitsQuiet`: it may have
   * killed a thread or a process, and begins when nothing else computes in that worker.
   */
  | {
      readonly type: "held";
      readonly queue: string;
      readonly workerId: string;
      readonly isAlive: boolean;
      readonly awaitsQuiet?: boolean;
      readonly host: string | undefined;
      readonly pid: number | undefined;
      readonly since: number | undefined;
    }
  /** The worker has ended its batch, or lost it: what it reported is on the way, or the call is sent again within seconds. */
  | { readonly type: "returning"; readonly queue: string }
  /** A large value that the call needs was lost, and is being made again. */
  | { readonly type: "awaits-value" }
  /** The way to its queue is being opened. */
  | { readonly type: "opens-queue"; readonly queue: string }
  /** Redis does not answer. */
  | { readonly type: "redis-away"; readonly queue: string; readonly since: number }
  /** With a runner that does not say more. */
  | { readonly type: "with-runner" };

/** A look of a session at its calls. */
export interface CallSurvey {
  /** Where the call is; undefined when the session does not know it. */
  placeOf(call: object): CallPlace | undefined;
  /** The runs that the call's function has made in this process, if any. */
  scopeIn?(call: object): RunScope | undefined;
  /** Calls made by calls in workers, for which no run of this process stands. */
  readonly nested?: readonly NestedRun[];
}

/** A task run whose engine is in a worker, and whose call came back to this process to be sent. */
export interface NestedRun {
  readonly taskRunId: string;
  readonly taskRunName: string;
  /** Undefined when nobody has the call. */
  readonly place: CallPlace | undefined;
}

/** Those that pass by themselves: something is executed, or a time passes. In others a flow may wait for ever. */
const MOVING: ReadonlySet<WhyOpen["type"]> = new Set(["runs-here", "awaits-retry", "with-runner", "subflow"]);

/** Is something executed, or will be at a set time? */
export function isMoving(why: WhyOpen): boolean {
  return MOVING.has(why.type) || (why.type === "held" && why.isAlive && why.awaitsQuiet !== true);
}

/** Is something missing that somebody must bring? */
export function isTrouble(why: WhyOpen): boolean {
  return why.type === "no-workers" || why.type === "redis-away" || (why.type === "held" && !why.isAlive);
}

const STEPS: Record<Step, string> = {
  "loads-inputs": "Loads the values that it needs.",
  "reads-cache": "Looks for its result in the result store.",
  "awaits-cached-result": "Waits for another run that computes the same cached result.",
  "keeps-result": "Its result is being written to the result store.",
  "asks-retry": "Its retryConditionFn is being asked whether it is tried again.",
};

/** As a sentence. With `isGroup`, one that fits all runs with the same kind of reason. */
export function sentenceOf(why: WhyOpen, isGroup = false): string {
  switch (why.type) {
    case "awaits-runs": {
      if (isGroup) return "Waits for other task runs.";
      const [first, ...others] = why.taskRunIds;
      const more = others.length === 0 ? "" : ` and ${others.length} more`;
      return `Waits for task run ${first}${more}.`;
    }
    case "awaits-retry":
      return isGroup ? "Waits for its retry." : `Waits for its retry until ${timeOf(why.until)}.`;
    case "awaits-slot":
      return `Waits for a slot of ${why.limits.map((name) => `"${name}"`).join(", ")}.`;
    case "awaits-cached-result":
      return STEPS["awaits-cached-result"];
    case "prepares":
      return STEPS[why.step];
    case "subflow":
      return isGroup
        ? "Stands for a subflow."
        : `Stands for flow run ${why.flowRunId}, which is ${why.flowRunState}.`;
    case "runs-here":
      return "Runs in this process.";
    case "awaits-turn":
      return isGroup ? "Waits for its turn." : `Waits for its turn, behind ${why.ahead} calls.`;
    case "awaits-window": {
      const behind = isGroup ? "others" : `${why.ahead} calls`;
      return `Waits in this process behind ${behind}: the workers of queue "${why.queue}" have ${why.withWorkers} calls, as many as they can use.`;
    }
    case "queued":
      return `Waits in queue "${why.queue}", which ${why.workers} live workers serve.`;
    case "no-workers":
      return `No worker serves queue "${why.queue}".`;
    case "held": {
      const where = why.host === undefined ? "" : ` (${why.host}, process ${why.pid})`;
      const since = why.since === undefined || isGroup ? "" : ` since ${timeOf(why.since)}`;
      const until = why.awaitsQuiet === true ? ", and runs it when it computes nothing else" : "";
      return why.isAlive
        ? `Worker ${why.workerId}${where} has it${since}${until}.`
        : `Worker ${why.workerId} has it, but gives no sign of life: it is sent again within seconds.`;
    }
    case "returning":
      return "Its batch has left the queue: its end is on the way, or it is sent again within seconds.";
    case "awaits-value":
      return "A large value that it needs was lost, and is being made again.";
    case "opens-queue":
      return `The way to queue "${why.queue}" is being opened.`;
    case "redis-away":
      return `Redis does not answer${isGroup ? "" : ` since ${timeOf(why.since)}`}.`;
    case "with-runner":
      return "Its task runner has it.";
    case "unknown":
      return "Nobody holds it and nothing will end it. This is a bug of Millrace: please report it.";
  }
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
