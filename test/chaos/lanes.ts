/** What the flow programs of the chaos suite and of the soak have in common: lanes of flows, until they are told to stop. */
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DistributedTaskRunner, flow, type State, setLogLevel } from "millrace";
import { type LoadKind, type LoadPlan, loadOf, planLoad } from "./loads.ts";
import { Random } from "./random.ts";

export interface LaneOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly seed: number;
  /** Flows at a time. */
  readonly lanes: number;
  /** Between two flows of a lane, at most. */
  readonly pauseMs: number;
  readonly kinds: readonly LoadKind[];
}

/** Runs flows until the standard input of this process ends. */
export class Lanes {
  readonly #suite: string;
  readonly #options: LaneOptions;
  readonly #taskRunner: DistributedTaskRunner;
  readonly #random: Random;
  #isStopping = false;

  /**
   * @param suite the beginning of the flows' names
   * @param onLine told of each line on standard input
   */
  constructor(suite: string, options: LaneOptions, onLine: (line: string) => void) {
    const { redisUrl, namespace, seed } = options;
    this.#suite = suite;
    this.#options = options;
    this.#taskRunner = new DistributedTaskRunner({ redis: redisUrl, namespace });
    this.#random = new Random(seed);
    setLogLevel("error");
    const input = createInterface({ input: process.stdin });
    input.on("line", onLine);
    input.on("close", () => {
      this.#isStopping = true;
    });
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Runs the flow of a plan to its end, and cancels it on the way if its kind says so. */
  async runFlow(
    plan: LoadPlan,
    onStarted: (flowRunId: string) => void = () => {},
  ): Promise<{ readonly flowRunId: string; readonly state: State }> {
    const { body, cancelAfterMs } = loadOf(plan.kind);
    const name = `${this.#suite}-${plan.kind}`;
    const run = flow({ name, taskRunner: this.#taskRunner }, () => body(plan)).start();
    onStarted(run.id);
    const timer =
      cancelAfterMs === undefined ? undefined : setTimeout(() => void run.cancel(), cancelAfterMs);
    const state = await run.wait();
    clearTimeout(timer);
    return { flowRunId: run.id, state };
  }

  /** In each lane one flow after the other, as the seed plans them. Resolves when the last has ended. */
  async run(runPlanned: (plan: LoadPlan) => Promise<void>): Promise<void> {
    const { lanes, pauseMs, kinds } = this.#options;
    const runLane = async () => {
      while (!this.#isStopping) {
        await runPlanned(planLoad(this.#random, kinds));
        await sleep(this.#random.between(0, pauseMs));
      }
    };
    await Promise.all(Array.from({ length: lanes }, runLane));
  }
}
