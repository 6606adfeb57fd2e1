/** What flow programs tell of their flow runs: a line each. */
import type { Ending, LoadPlan } from "./loads.ts";

export type { Ending };

/** What was seen of one task run. */
export interface RunFacts {
  readonly id: string;
  /** How often it entered its first state: more than once when a call that made it was executed again. */
  readonly births: number;
  /** Types and names of the final states that it entered. */
  readonly finals: readonly string[];
  /** The highest attempt. */
  readonly attempt: number;
}

interface Common {
  readonly flowRunId: string;
  readonly at: number;
}

export type Observation =
  | (Common & { readonly event: "started"; readonly plan: LoadPlan; readonly pid: number })
  | (Common & { readonly event: "ended"; readonly ending: Ending; readonly runs: readonly RunFacts[] })
  | (Common & { readonly event: "late"; readonly taskRunId: string; readonly state: string });
