import { type Call, type Outcome, TaskFuture, type UpstreamRun } from "@millrace/core";
import { defaultServices, EncodedValue, TASK_DEFAULTS, type TaskDefinition } from "@millrace/core/internal";

/** A task of the module that asks for it. */
export function taskOf(
  moduleUrl: string | undefined,
  name: string,
  options: Partial<TaskDefinition> = {},
): TaskDefinition {
  return {
    fn: () => {},
    name,
    ...TASK_DEFAULTS,
    callSite: { moduleUrl, place: "here" },
    module: undefined,
    ...options,
  };
}

let count = 0;

/** A call that remembers how it was settled, each time. It stands for its run as well, for calls that wait for that. */
export class TestCall implements Call, UpstreamRun {
  /** Is the run completed? */
  isDone = false;
  ticket: unknown;
  readonly scope = {
    id: "scope",
    owner: {
      ...{ flowRunId: "flow-run", flowName: "flow", flowRunName: "brisk-otter", taskRunId: undefined },
      ...{ logConsole: false, services: defaultServices(), heldLimits: [], isWithin: () => false },
    },
  };
  readonly flowRunId = "flow-run";
  readonly flowName = "flow";
  readonly flowRunName = "brisk-otter";
  readonly givenName = undefined;
  readonly timeoutSeconds = undefined;
  readonly heldLimits = [];
  readonly attempt = 1;
  readonly tags = [];
  readonly logConsole = false;
  readonly number = ++count;
  readonly taskRunId = `scope-${this.number}`;
  readonly taskRunName = `task-${this.number}`;
  readonly hasInputs: boolean;
  readonly task: TaskDefinition;
  readonly args: readonly unknown[];
  readonly outcomes: Outcome[] = [];
  /** Resolves with the first outcome. */
  readonly settled: Promise<Outcome>;
  #resolve!: (outcome: Outcome) => void;

  constructor(task: TaskDefinition, ...args: unknown[]) {
    this.task = task;
    this.args = args;
    this.hasInputs = args.some((arg) => arg instanceof TaskFuture);
    this.settled = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  isFinal(): boolean {
    return this.isDone;
  }

  lets(): boolean {
    return this.isDone;
  }

  settle(outcome: Outcome): void {
    this.outcomes.push(outcome);
    this.#resolve(outcome);
  }

  /** What it returned, decoded; throws when it did not, or was settled twice. */
  async value(): Promise<unknown> {
    const outcome = await this.settled;
    if (outcome.type !== "returned" || this.outcomes.length > 1) {
      throw new Error(`Expected one value, got ${JSON.stringify(this.outcomes)}.`);
    }
    return outcome.value instanceof EncodedValue ? outcome.value.value() : outcome.value;
  }
}
