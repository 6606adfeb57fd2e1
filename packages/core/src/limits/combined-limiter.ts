import type { Limiter, SlotRequest, Slots } from "./limiter.ts";

/**
 * Two limiters that both bind: the slots of the first are taken before those of the second, by everybody alike, so
 * that no two requests can wait for each other.
 */
export class CombinedLimiter implements Limiter {
  readonly #first: Limiter;
  readonly #second: Limiter;

  constructor(first: Limiter, second: Limiter) {
    this.#first = first;
    this.#second = second;
  }

  isLimited(name: string): boolean {
    return this.#first.isLimited(name) || this.#second.isLimited(name);
  }

  async acquire(request: SlotRequest): Promise<Slots> {
    const limitedBy = (limiter: Limiter) => request.names.filter((name) => limiter.isLimited(name));
    const first = await this.#first.acquire({ ...request, names: limitedBy(this.#first) });
    try {
      const second = await this.#second.acquire({ ...request, names: limitedBy(this.#second) });
      return {
        release() {
          second.release();
          first.release();
        },
      };
    } catch (error) {
      first.release();
      throw error;
    }
  }
}
