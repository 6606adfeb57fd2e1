/**
 * What must hold of a flow run when all is over, whatever was done to the cluster meanwhile: pure functions of what its
 * process saw, what its tasks left in the journal, and the faults that were caused.
 */
import type { CausedFault } from "./hits.ts";
import { type Execution, parentOf } from "./journal.ts";
import { type Ending, type LoadPlan, loadOf } from "./loads.ts";
import type { RunFacts } from "./observations.ts";

export interface EndedFlow {
  readonly flowRunId: string;
  readonly plan: LoadPlan;
  /** The flow's process. */
  readonly pid: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly ending: Ending;
  readonly runs: readonly RunFacts[];
}

/** How long a fault has effects: a dead worker is noticed after 6 s, a lease runs out after 15 s, and calls wait for others. */
export const AFTERMATH_MS = 20_000;

/** How often a call may be in a thread or process that dies: `crashRetries` as it is when a task says nothing. */
const DEFAULT_CRASH_RETRIES = 3;

/** What is wrong with a flow run that has ended; nothing when all is well. Whether executions were repeated with reason says repetitions.ts. */
export function judge(
  flow: EndedFlow,
  executions: readonly Execution[],
  faults: readonly CausedFault[],
): string[] {
  const counts = countExecutions(executions);
  return [
    ...judgeEnding(flow, counts, faults),
    ...flow.runs.flatMap((run) => judgeSettling(run, counts)),
    ...flow.runs.flatMap((run) => judgeExecutions(run, counts)),
    ...judgeStrangers(flow, counts),
  ];
}

/** What is wrong with a flow run whose process was killed. */
export function judgeAbandoned(
  killedAt: number,
  executions: readonly Execution[],
  leaseMs: number,
): string[] {
  return executions
    .filter(({ startedAt }) => startedAt > killedAt + leaseMs)
    .map(({ taskRunId, startedAt }) => {
      const seconds = ((startedAt - killedAt) / 1000).toFixed(1);
      return `${taskRunId} was executed ${seconds} s after its flow's process was killed; its lease is ${leaseMs / 1000} s`;
    });
}

// ---- Executions --------------------------------------------------------------------------------------------------

interface Count {
  readonly taskRunId: string;
  readonly attempt: number;
  readonly started: number;
  readonly ended: number;
}

/** By task run, then by attempt. */
type Counts = ReadonlyMap<string, ReadonlyMap<number, Count>>;

function countExecutions(executions: readonly Execution[]): Counts {
  const counts = new Map<string, Map<number, Count>>();
  for (const { taskRunId, attempt, endedAt } of executions) {
    const attempts = counts.get(taskRunId) ?? new Map<number, Count>();
    counts.set(taskRunId, attempts);
    const { started, ended } = attempts.get(attempt) ?? { started: 0, ended: 0 };
    attempts.set(attempt, {
      ...{ taskRunId, attempt, started: started + 1 },
      ended: ended + (endedAt === undefined ? 0 : 1),
    });
  }
  return counts;
}

const NEVER = { started: 0, ended: 0 };

// ---- The rules ---------------------------------------------------------------------------------------------------

function judgeEnding(flow: EndedFlow, counts: Counts, faults: readonly CausedFault[]): string[] {
  const { plan, ending } = flow;
  const expected = loadOf(plan.kind).ending(plan.size);
  const isAsExpected =
    ending.type === expected.type &&
    ending.answer === expected.answer &&
    (ending.error ?? "").startsWith(expected.error ?? "");
  if (isAsExpected || isCrashEarned(ending, counts) || isRefused(flow, faults)) return [];
  return [`the flow ended ${JSON.stringify(ending)}, expected ${JSON.stringify(expected)}`];
}

/** An innocent call that was in too many processes that died is crashed by right. */
function isCrashEarned({ error = "" }: Ending, counts: Counts): boolean {
  if (!error.startsWith("WorkerLostError: ")) return false;
  return [...counts.values()].some((attempts) =>
    [...attempts.values()].some(({ started, ended }) => started - ended > DEFAULT_CRASH_RETRIES),
  );
}

/** A flow that starts while Redis is away ends at once, and says so. */
function isRefused(
  { ending: { error = "" }, runs, startedAt, endedAt }: EndedFlow,
  faults: readonly CausedFault[],
) {
  return (
    error.startsWith("BrokerUnavailableError: ") &&
    runs.length === 0 &&
    faults.some(
      (fault) => /^redis-/.test(fault.kind) && fault.startedAt <= endedAt && fault.endedAt >= startedAt,
    )
  );
}

/** Each run settles once. A nested one does so once for each execution of the call that made it. */
function judgeSettling({ id, births, finals }: RunFacts, counts: Counts): string[] {
  const parent = parentOf(id);
  const most = parent === undefined ? 1 : (counts.get(parent.taskRunId)?.get(parent.attempt)?.started ?? 0);
  if (finals.length === 0 && most < 2) return [`${id} never settled`];
  if (finals.length > most) return [`${id} settled ${finals.length} times: ${finals.join(", ")}`];
  if (births > Math.max(1, most)) return [`${id} was made ${births} times, by ${most} executions`];
  return [];
}

/** What a run is said to have done, it has done. */
function judgeExecutions({ id, finals, attempt: last }: RunFacts, counts: Counts): string[] {
  const final = finals.at(-1) ?? "";
  const attempts = counts.get(id);
  if (final === "COMPLETED Cached" || final.startsWith("CANCELLED") || final.endsWith("NotReady")) return [];
  const problems: string[] = [];
  for (let attempt = 1; attempt <= last; attempt++) {
    const { started, ended } = attempts?.get(attempt) ?? NEVER;
    if (started === 0) problems.push(`attempt ${attempt} of ${id} counts, and was never executed`);
    else if (attempt === last && final.startsWith("COMPLETED") && ended === 0)
      problems.push(`${id} is completed, and no execution of it came to its end`);
  }
  const highest = Math.max(0, ...(attempts?.keys() ?? []));
  if (highest > last) problems.push(`attempt ${highest} of ${id} was executed, and its last one is ${last}`);
  return problems;
}

/** What was executed, the flow's process knows of. */
function judgeStrangers({ runs, ending }: EndedFlow, counts: Counts): string[] {
  if (ending.type === "CANCELLED") return []; // What a cancelled call made may be on its way.
  const known = new Set(runs.map(({ id }) => id));
  return [...counts.keys()]
    .filter((id) => !known.has(id))
    .map((id) => `${id} was executed, and its flow does not know it`);
}
