/**
 * Why attempts were executed again: a pure function of who executed them when, and of what hit whom. An execution may be repeated when
 * something took it, or could have taken its outcome, and not because something was going on elsewhere.
 */
import { HEARTBEAT_TTL_MS, SWEEP_MS } from "../../packages/broker/src/intervals.ts";
import { type Harm, type Hit, hitsOnFlow, hitsOnWorker, silencesOf } from "./hits.ts";
import { type Execution, parentOf } from "./journal.ts";

/** A hit has effects for so long after it is over: until it has been noticed, and a worker that was given up knows that it is. */
export const RECOVERY_MS = HEARTBEAT_TTL_MS + SWEEP_MS;

/** An outcome is out of its worker after this, as long as Redis and the worker are there. */
export const REPORT_MS = 1_000;

export interface Judgement {
  readonly repeated: number;
  readonly problems: readonly string[];
  /** Of each repetition that has one, what its cause is called. */
  readonly causes: readonly string[];
}

/**
 * @param executions those of one flow run, in the order of their beginnings
 * @param flowPid the flow's process
 */
export function judgeRepetitions(executions: readonly Execution[], harm: Harm, flowPid: number): Judgement {
  const problems: string[] = [];
  const causes: string[] = [];
  const attempts = byAttempt(executions);
  for (const [name, all] of attempts) {
    const { taskRunId } = all[0] as Execution;
    const parent = parentOf(taskRunId);
    const parents = (parent && attempts.get(nameOf(parent))) ?? [];
    const possible = new Set<string>();
    for (const [index, again] of all.entries()) {
      const earlier = all[index - 1];
      if (earlier === undefined) continue;
      const found = causesOf(earlier, again, parents, harm, flowPid);
      if (found[0] === undefined)
        problems.push(`${name} was executed again by ${again.pid}/${again.thread} without a cause`);
      else causes.push(found[0].what);
      for (const { what, from } of found) possible.add(`${what} ${from}`);
    }
    if (all.length > 1 + possible.size && possible.size > 0)
      problems.push(`${name} was executed ${all.length} times, with ${possible.size} possible causes`);
  }
  return { repeated: executions.length - attempts.size, problems, causes };
}

/** All that may be why an execution was repeated. `parents` are those of the call that made it: who is executed again makes its calls again. */
function causesOf(
  earlier: Execution,
  again: Execution,
  parents: readonly Execution[],
  harm: Harm,
  flowPid: number,
): Hit[] {
  const isBetween = ({ from, until }: Hit) =>
    from <= again.startedAt && until + RECOVERY_MS >= earlier.startedAt;
  const reportedBy = reportTimeOf(earlier, harm);
  return [
    ...hitsOnWorker(harm, earlier).filter((hit) => isBetween(hit) && hit.from <= reportedBy),
    // A worker that comes back goes on with what it had, until it hears that others have it.
    ...hitsOnWorker(harm, again).filter(
      (hit) => isBetween(hit) && hit.until + RECOVERY_MS >= again.startedAt,
    ),
    ...hitsOnFlow(harm, flowPid).filter(isBetween),
    ...parents
      .slice(1)
      .map(({ startedAt }) => ({ what: "its caller", from: startedAt, until: startedAt }))
      .filter(isBetween),
  ];
}

/** When the outcome of an execution was in Redis at the latest. */
function reportTimeOf({ pid, endedAt = Number.POSITIVE_INFINITY }: Execution, harm: Harm): number {
  let reportedBy = endedAt + REPORT_MS;
  for (const { from, until } of silencesOf(harm, pid)) {
    if (from <= reportedBy && until >= endedAt) reportedBy = Math.max(reportedBy, until + REPORT_MS);
  }
  return reportedBy;
}

function byAttempt(executions: readonly Execution[]): Map<string, Execution[]> {
  const attempts = new Map<string, Execution[]>();
  for (const execution of executions) {
    const name = nameOf(execution);
    attempts.set(name, [...(attempts.get(name) ?? []), execution]);
  }
  return attempts;
}

function nameOf({ taskRunId, attempt }: { taskRunId: string; attempt: number }): string {
  return `attempt ${attempt} of ${taskRunId}`;
}
