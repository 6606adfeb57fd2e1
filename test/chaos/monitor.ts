/** Follows the flow runs of all programs while they run, and judges each when what was done in it can be known. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEATHS_FILE, type DyingTask, deathIn } from "./deaths.ts";
import type { CausedFault } from "./hits.ts";
import { type Execution, executionsIn } from "./journal.ts";
import type { LoadKind, LoadPlan } from "./loads.ts";
import type { Observation } from "./observations.ts";
import { judgeRepetitions } from "./repetitions.ts";
import { Tail } from "./tail.ts";
import { AFTERMATH_MS, type EndedFlow, judge, judgeAbandoned } from "./verdict.ts";

export interface Violation {
  readonly flowRunId: string;
  readonly plan: LoadPlan;
  readonly problems: readonly string[];
  readonly startedAt: number;
  readonly endedAt: number;
  readonly journal: string;
}

export interface Figures {
  flows: number;
  /** Flows whose program was killed. */
  abandoned: number;
  taskRuns: number;
  executions: number;
  reexecutions: number;
  /** Of the executions that repeated others, how many had which cause. */
  readonly causes: Record<string, number>;
  /** After their flow had ended, by workers that did not know. */
  lateExecutions: number;
}

interface Running {
  readonly plan: LoadPlan;
  readonly startedAt: number;
  readonly pid: number;
}

/** A worker that was frozen goes on with what it had: so long the journal of a flow that has ended is left to grow. */
const JUDGED_AFTER_MS = 15_000;

export class Monitor {
  readonly violations: Violation[] = [];
  readonly figures: Figures = {
    ...{ flows: 0, abandoned: 0, taskRuns: 0, executions: 0, reexecutions: 0, lateExecutions: 0 },
    causes: {},
  };
  readonly #observations: string;
  readonly #journals: string;
  readonly #leaseMs: number;
  readonly #faults: CausedFault[] = [];
  readonly #deaths: DyingTask[] = [];
  readonly #deathsTail: Tail;
  readonly #tails = new Map<string, Tail>();
  readonly #running = new Map<string, Running>();
  readonly #ended: EndedFlow[] = [];
  readonly #kindsEnded = new Set<LoadKind>();
  /** Flow runs whose program was killed, and when. */
  readonly #abandoned = new Map<string, { readonly flow: Running; readonly killedAt: number }>();
  /** Programs that were killed, and when: the last lines of one may be read later. */
  readonly #killed = new Map<number, number>();

  /** @param leaseMs how long after the death of a flow's process its tasks may begin */
  constructor(observations: string, journals: string, leaseMs: number) {
    this.#observations = observations;
    this.#journals = journals;
    this.#leaseMs = leaseMs;
    const deaths = join(journals, DEATHS_FILE);
    writeFileSync(deaths, ""); // Until the first task dies, nobody else makes it.
    this.#deathsTail = new Tail(deaths);
  }

  /** Have flow runs of each of these kinds ended? */
  haveEnded(kinds: readonly LoadKind[]): boolean {
    return kinds.every((kind) => this.#kindsEnded.has(kind));
  }

  programKilled(pid: number): void {
    this.#killed.set(pid, Date.now());
  }

  faultCaused(fault: CausedFault): void {
    this.#faults.push(fault);
  }

  /** Reads what is new, and judges what is due: all of it when it is the last time. */
  look(isLast = false): void {
    for (const name of readdirSync(this.#observations)) {
      const tail = this.#tails.get(name) ?? new Tail(join(this.#observations, name));
      this.#tails.set(name, tail);
      for (const line of tail.lines()) this.#observe(JSON.parse(line) as Observation);
    }
    this.#deaths.push(...this.#deathsTail.lines().map(deathIn));
    for (const [flowRunId, flow] of this.#running) {
      const killedAt = this.#killed.get(flow.pid);
      if (killedAt === undefined) continue;
      this.#running.delete(flowRunId);
      this.#abandoned.set(flowRunId, { flow, killedAt });
    }
    const now = Date.now();
    const isDue = (at: number, afterMs: number) => isLast || at + afterMs < now;
    while (this.#ended[0] !== undefined && isDue(this.#ended[0].endedAt, JUDGED_AFTER_MS)) {
      this.#judge(this.#ended.shift() as EndedFlow);
    }
    for (const [flowRunId, { flow, killedAt }] of this.#abandoned) {
      if (!isDue(killedAt, this.#leaseMs + AFTERMATH_MS)) continue;
      this.#abandoned.delete(flowRunId);
      this.#judgeAbandoned(flowRunId, flow, killedAt);
    }
    if (!isLast) return;
    for (const name of readdirSync(this.#journals).filter((name) => name !== DEATHS_FILE)) {
      this.figures.lateExecutions += executionsIn(this.#take(name)).length;
    }
  }

  /** The flow runs that have not ended never will. */
  hasHung(): void {
    for (const [flowRunId, flow] of this.#running) {
      const hung = { flowRunId, ...flow, endedAt: Date.now() };
      this.#report(hung, ["it did not end"], this.#take(flowRunId));
    }
    this.#running.clear();
  }

  #observe(observation: Observation): void {
    const { flowRunId, at } = observation;
    const flow = this.#running.get(flowRunId);
    if (observation.event === "started") {
      const { plan, pid } = observation;
      this.#running.set(flowRunId, { plan, startedAt: at, pid });
    } else if (observation.event === "ended" && flow !== undefined) {
      const { ending, runs } = observation;
      this.#running.delete(flowRunId);
      this.#kindsEnded.add(flow.plan.kind);
      this.#ended.push({
        ...{ flowRunId, endedAt: at, ending, runs },
        plan: flow.plan,
        ...{ startedAt: flow.startedAt, pid: flow.pid },
      });
    } else if (observation.event === "late") {
      const ended = this.#ended.find((other) => other.flowRunId === flowRunId);
      this.violations.push({
        ...{ flowRunId, plan: ended?.plan ?? { kind: "map", size: 0 }, startedAt: at, endedAt: at },
        journal: this.#journalOf(flowRunId),
        problems: [`${observation.taskRunId} became ${observation.state} after its flow run had ended`],
      });
    }
  }

  #judge(flow: EndedFlow): void {
    const journal = this.#take(flow.flowRunId);
    const executions = executionsIn(journal);
    this.figures.flows++;
    this.figures.taskRuns += flow.runs.length;
    const problems = [
      ...judge(flow, executions, this.#faults),
      ...this.#judgeRepetitions(executions, flow.pid),
    ];
    this.#report(flow, problems, journal);
  }

  #judgeAbandoned(flowRunId: string, { plan, startedAt, pid }: Running, killedAt: number): void {
    const journal = this.#take(flowRunId);
    const executions = executionsIn(journal);
    this.figures.abandoned++;
    const problems = [
      ...judgeAbandoned(killedAt, executions, this.#leaseMs),
      ...this.#judgeRepetitions(executions, pid),
    ];
    this.#report({ flowRunId, plan, startedAt, endedAt: killedAt }, problems, journal);
  }

  #judgeRepetitions(executions: readonly Execution[], flowPid: number): readonly string[] {
    const harm = { faults: this.#faults, deaths: this.#deaths };
    const { repeated, causes, problems } = judgeRepetitions(executions, harm, flowPid);
    const { figures } = this;
    figures.executions += executions.length;
    figures.reexecutions += repeated;
    for (const cause of causes) figures.causes[cause] = (figures.causes[cause] ?? 0) + 1;
    return problems;
  }

  #report(
    { flowRunId, plan, startedAt, endedAt }: Omit<EndedFlow, "ending" | "runs" | "pid">,
    problems: readonly string[],
    journal: string,
  ): void {
    if (problems.length > 0) this.violations.push({ flowRunId, plan, startedAt, endedAt, problems, journal });
  }

  #journalOf(flowRunId: string): string {
    try {
      return readFileSync(join(this.#journals, flowRunId), "utf8");
    } catch {
      return ""; // None of its tasks has begun.
    }
  }

  /** Gives a journal, and takes it away: an hour makes a hundred thousand of them. */
  #take(flowRunId: string): string {
    const journal = this.#journalOf(flowRunId);
    rmSync(join(this.#journals, flowRunId), { force: true });
    return journal;
  }
}
