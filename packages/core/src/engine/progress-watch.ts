import { LostRunError } from "../errors/errors.ts";
import type { Logger } from "../logger.ts";
import { OpenRunCounts, visitOpenRuns } from "./open-runs.ts";
import type { RunScope } from "./run-scope.ts";

/** How long no task run may be made or end before the flow run is looked at. */
const STILL_MS = 10_000;

/** The time between two looks doubles up to this, in multiples of STILL_MS: the runs of a million wait may be many. */
const LONGEST_WAIT = 32;

/**
 * Says why a flow run makes no progress: none of its task runs is made or ends. While there is progress it costs one
 * comparison each STILL_MS, however many tasks run.
 *
 * One warning for each time that it stands still, and none while something is executed: a long task is no trouble. A
 * task run that nobody holds is logged as an error, with the code of a bug.
 */
export class ProgressWatch {
  readonly #scope: RunScope;
  readonly #logger: () => Logger;
  readonly #timer: NodeJS.Timeout;
  #lastProgress = -1;
  /** For how many times STILL_MS there has been no progress. */
  #still = 0;
  #nextLook = 1;
  #hasWarned = false;
  #isStopped = false;

  constructor(scope: RunScope, logger: () => Logger) {
    this.#scope = scope;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#check(), STILL_MS).unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  #check(): void {
    const { progress } = this.#scope;
    if (progress !== this.#lastProgress) {
      this.#lastProgress = progress;
      this.#still = 0;
      this.#nextLook = 1;
      this.#hasWarned = false;
      return;
    }
    this.#still++;
    if (this.#still < this.#nextLook) return;
    this.#nextLook += Math.min(this.#nextLook, LONGEST_WAIT);
    void this.#look();
  }

  async #look(): Promise<void> {
    const counts = new OpenRunCounts();
    await visitOpenRuns(this.#scope, counts.add);
    // Progress, or the end, may have come during the look.
    if (this.#isStopped || this.#scope.progress !== this.#lastProgress || counts.isEmpty) return;
    const facts = { seconds: (this.#still * STILL_MS) / 1000, reasons: counts.groups() };
    if (counts.lost.length > 0)
      this.#logger().error({ err: new LostRunError(counts.lost), ...facts }, "task runs are lost");
    else if (this.#hasWarned) return;
    else if (counts.isAnythingMoving && !counts.isAnythingMissing)
      this.#logger().debug(facts, "the flow run waits for what is executed");
    else {
      this.#hasWarned = true;
      this.#logger().warn(facts, "the flow run makes no progress");
    }
  }
}
