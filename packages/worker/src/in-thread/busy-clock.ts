/**
 * Measures how long each of several calls keeps an event loop busy. What a call does before its first await is measured
 * alone; the loop's activity from then on is shared equally among the calls that are under way, as nobody can tell whose it
 * is. A call that sleeps for a second so costs next to nothing, and one that computes between awaits costs what it takes.
 */
export class BusyClock {
  readonly #activeMs: () => number;
  #underWay = 0;
  /** The share of a call that had been under way since the start. */
  #sharedMs = 0;
  #lastActiveMs = 0;
  /** Activity since then that is known to be one call's alone. */
  #ownMs = 0;

  /** @param activeMs how long the event loop has been active so far */
  constructor(activeMs: () => number = () => performance.eventLoopUtilization().active) {
    this.#activeMs = activeMs;
  }

  /** A call awaits something from now on. @returns what `end` wants to know */
  begin(): number {
    this.#share();
    this.#underWay++;
    return this.#sharedMs;
  }

  /** The call has ended. @returns for how many milliseconds it kept the loop busy since `begin` */
  end(begunAt: number): number {
    this.#share();
    this.#underWay--;
    return this.#sharedMs - begunAt;
  }

  /** One call alone has just kept the loop busy for so long. */
  alone(milliseconds: number): void {
    if (this.#underWay > 0) this.#ownMs += milliseconds;
  }

  #share(): void {
    const activeMs = this.#activeMs();
    const commonMs = Math.max(0, activeMs - this.#lastActiveMs - this.#ownMs);
    if (this.#underWay > 0) this.#sharedMs += commonMs / this.#underWay;
    this.#lastActiveMs = activeMs;
    this.#ownMs = 0;
  }
}
