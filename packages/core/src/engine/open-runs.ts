import { setTimeout as sleep } from "node:timers/promises";
import type { RunScope, ScopeMember } from "./run-scope.ts";
import {
  type CallSurvey,
  isMoving,
  isTrouble,
  type NestedRun,
  sentenceOf,
  type WhyOpen,
} from "./why-open.ts";

/** A task run that is not final, and why. */
export interface OpenRun {
  readonly taskRunId: string;
  readonly taskRunName: string;
  /** The name of its state, such as `Running` or `AwaitingRetry`. */
  readonly state: string;
  /** When it entered that state, in milliseconds since the epoch. Undefined for a run whose engine is in a worker. */
  readonly since: number | undefined;
  /** Who holds it, or what it waits for. */
  readonly why: WhyOpen;
  /** The same as a sentence. */
  readonly reason: string;
}

/** Told of each run that is not final. */
export type Visit = (run: ScopeMember | NestedRun, why: WhyOpen) => void;

const NO_SURVEY: CallSurvey = { placeOf: () => ({ type: "with-runner" }) };

/**
 * A run may be between two hands just when somebody looks: its outcome has come and is told in this turn of the event
 * loop. What nobody holds is looked at again, each time after so long; only what nobody holds at any look counts.
 */
const DOUBT_MS = [0, 50, 200];

/**
 * Looks at the runs of a scope that are not final, and at those that their functions have made, as far as these are in
 * this process. Not at those of subflows: they have scopes and sessions of their own.
 */
export async function visitOpenRuns(scope: RunScope, visit: Visit): Promise<void> {
  let doubtful = await look(scope, visit, undefined);
  for (const [index, delay] of DOUBT_MS.entries()) {
    if (doubtful.size === 0) return;
    await sleep(delay);
    const isLast = index === DOUBT_MS.length - 1;
    doubtful = await look(scope, visit, { doubtful, isLast });
  }
}

interface SecondLook {
  /** The ids of the runs that nobody held at the look before, each with what it was doing. */
  readonly doubtful: ReadonlyMap<string, string>;
  readonly isLast: boolean;
}

/** One look. Gives the runs that nobody holds, which are not visited unless the look is the last. */
async function look(
  scope: RunScope,
  visit: Visit,
  second: SecondLook | undefined,
): Promise<ReadonlyMap<string, string>> {
  const doubtful = new Map<string, string>();
  const consider = (run: ScopeMember | NestedRun, why: WhyOpen, doing: string) => {
    if (second !== undefined && !second.doubtful.has(run.taskRunId)) return;
    if (why.type !== "unknown") visit(run, why);
    else if (second?.isLast !== true) doubtful.set(run.taskRunId, doing);
    // Else it has gone on since, and is between two hands again.
    else if (second.doubtful.get(run.taskRunId) === doing) visit(run, why);
  };
  await lookInto(scope, consider);
  return doubtful;
}

async function lookInto(
  scope: RunScope,
  consider: (run: ScopeMember | NestedRun, why: WhyOpen, doing: string) => void,
): Promise<void> {
  const survey = (await scope.session.survey?.()) ?? NO_SURVEY;
  const within: RunScope[] = [];
  // Without a pause between the survey and this: what it says holds now.
  for (const run of scope.open()) {
    if (run.isFinal()) continue; // Everybody is just being told.
    const { name, timestamp } = run.state();
    consider(run, run.whyOpen(survey), `${name} ${timestamp}`);
    const inner = survey.scopeIn?.(run);
    if (inner !== undefined) within.push(inner);
  }
  for (const run of survey.nested ?? []) consider(run, run.place ?? { type: "unknown" }, "");
  for (const inner of within) await lookInto(inner, consider);
}

/** As a record for users. */
export function openRun(run: ScopeMember | NestedRun, why: WhyOpen): OpenRun {
  const { taskRunId, taskRunName } = run;
  const { name, timestamp } = "state" in run ? run.state() : { name: "Running", timestamp: undefined };
  return { taskRunId, taskRunName, state: name, since: timestamp, why, reason: sentenceOf(why) };
}

/** Runs that are not final, counted by the kind of their reasons. */
export class OpenRunCounts {
  readonly #groups = new Map<string, { count: number; readonly example: string }>();
  /** The ids of runs that nobody holds: a few of them. */
  readonly lost: string[] = [];
  isAnythingMoving = false;
  isAnythingMissing = false;

  readonly add: Visit = ({ taskRunId }, why) => {
    this.isAnythingMoving ||= isMoving(why);
    this.isAnythingMissing ||= isTrouble(why);
    if (why.type === "unknown" && this.lost.length < MOST_EXAMPLES) this.lost.push(taskRunId);
    const reason = sentenceOf(why, true);
    const group = this.#groups.get(reason);
    if (group !== undefined) group.count++;
    else if (this.#groups.size < MOST_GROUPS) this.#groups.set(reason, { count: 1, example: taskRunId });
  };

  get isEmpty(): boolean {
    return this.#groups.size === 0;
  }

  /** The largest group first. */
  groups(): { readonly reason: string; readonly taskRuns: number; readonly example: string }[] {
    return [...this.#groups]
      .map(([reason, { count, example }]) => ({ reason, taskRuns: count, example }))
      .sort((a, b) => b.taskRuns - a.taskRuns);
  }
}

const MOST_EXAMPLES = 10;
/** A log line must stay one that a person can read: a group is a kind of reason with its queue, limit or worker. */
const MOST_GROUPS = 20;
