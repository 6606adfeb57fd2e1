import { availableParallelism } from "node:os";
import type { System } from "../systems/system.ts";

const cores = availableParallelism();

/** Long enough that what a system adds to a task does not count, and that the cores are busy at the same time. */
const CALIBRATION_MS = 150;
/** V8 needs some calls until it runs its fastest code. */
const WARM_UPS = 4;

/**
 * A system, and what its cores can do at most: the best rate of the kernel, measured inside its own threads or
 * processes while all of them are busy. On a shared machine the rate changes with what others do, so it is measured again and
 * again among the runs that are judged by it.
 */
export class Calibrated {
  readonly at: System;
  #peak = 0;

  static async of(at: System): Promise<Calibrated> {
    const system = new Calibrated(at);
    const rough = await at.peak(1_000);
    system.#peak = rough;
    for (let n = 0; n < WARM_UPS; n++) system.#peak = await at.peak(system.iterationsFor(CALIBRATION_MS));
    await system.calibrate();
    return system;
  }

  private constructor(at: System) {
    this.at = at;
  }

  /** Iterations per millisecond of all cores together. */
  get peak(): number {
    return this.#peak;
  }

  async calibrate(): Promise<void> {
    this.#peak = Math.max(this.#peak, await this.at.peak(this.iterationsFor(CALIBRATION_MS)));
  }

  /** Iterations that take one core so long while all are busy. */
  iterationsFor(milliseconds: number): number {
    return Math.max(1, Math.round((milliseconds * this.#peak) / cores));
  }
}
