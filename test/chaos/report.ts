/** What the suite says at its end. */
import type { CausedFault } from "./hits.ts";
import type { Figures, Violation } from "./monitor.ts";
import { AFTERMATH_MS } from "./verdict.ts";

export interface Result {
  readonly seed: number;
  readonly minutes: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly figures: Figures;
  /** Flow runs of which something is wrong. */
  readonly violations: readonly Violation[];
  /** What is wrong besides: what ended as it should not, and what was left. */
  readonly problems: readonly string[];
}

/** A journal of a flow of many tasks has a thousand lines: those of the runs that are named say what happened to them. */
const MOST_JOURNAL_LINES = 40;

/** A violation as a developer needs it: what is wrong, which faults were around, and what was executed when. */
export function describeViolation(
  violation: Violation,
  faults: readonly CausedFault[],
  startedAt: number,
): string {
  const { flowRunId, plan, problems, journal } = violation;
  const second = (at: number) => ((at - startedAt) / 1000).toFixed(2);
  const around = faults.filter(
    (fault) =>
      fault.startedAt < violation.endedAt + AFTERMATH_MS &&
      fault.endedAt + AFTERMATH_MS > violation.startedAt,
  );
  const lines = journal.split("\n").filter((line) => line !== "");
  const named = lines.filter((line) =>
    problems.some((problem) => problem.includes(`${line.split(" ")[0]} `)),
  );
  const shown = (named.length > 0 ? named : lines).slice(-MOST_JOURNAL_LINES);
  return [
    `Flow run ${flowRunId} (${plan.kind} of ${plan.size}), from ${second(violation.startedAt)} s to ${second(violation.endedAt)} s:`,
    ...problems.slice(0, MOST_JOURNAL_LINES).map((problem) => `  ${problem}`),
    "  faults around:",
    ...around.map(
      ({ kind, startedAt, endedAt, detail }) =>
        `    ${second(startedAt)} s to ${second(endedAt)} s: ${kind}, ${detail}`,
    ),
    `  ${shown.length} of ${lines.length} lines of the journal (task run, attempt, what, second, process/thread):`,
    ...shown.map((line) => {
      const [id, attempt, what, at, worker] = line.split(" ");
      return `    ${id} ${attempt} ${what} ${second(Number(at))} ${worker}`;
    }),
  ].join("\n");
}

export function describeResult({ seed, minutes, faults, figures, violations, problems }: Result): string {
  const total = Object.values(faults).reduce((a, b) => a + b, 0);
  return [
    `Seed ${seed}, ${minutes} minutes, ${total} faults: ${listed(faults)}.`,
    `${figures.flows} flows ended, and ${figures.abandoned} were abandoned; ${figures.taskRuns} task runs, ` +
      `${figures.executions} executions, of which ${figures.reexecutions} were repeated and ${figures.lateExecutions} late.`,
    `Causes of repetitions: ${listed(figures.causes)}.`,
    ...problems,
    `${violations.length + problems.length} violations.`,
  ].join("\n");
}

function listed(counts: Readonly<Record<string, number>>): string {
  return (
    Object.entries(counts)
      .map(([what, count]) => `${what} ${count}`)
      .join(", ") || "none"
  );
}
