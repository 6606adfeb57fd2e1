import { finiteNumber, wholeNumber } from "../definitions/options.ts";

/**
 * Slots that runs share: at most so many holders of a name at a time. Implementations pass one contract suite
 * (testing/limiter.contract.ts): in this process, and in Redis (in the broker package).
 */
export interface Limiter {
  /** Does the name have a limit at this moment? Synchronous, since it is asked for every tag of every task run. */
  isLimited(name: string): boolean;
  /**
   * Waits until there is room under every name, and takes the slots of all of them at once, or none. First come, first
   * served: nobody who asks later for a name is served before one who waits for it. Names without a limit cost nothing.
   *
   * @throws LimitExceededError when more slots are asked for than the limit has, signal.reason when the signal fires first
   */
  acquire(request: SlotRequest): Promise<Slots>;
}

/** What a limit is: how many slots, and how fast used ones come back on their own. */
export interface Limit {
  /** A whole number of 0 or more. */
  readonly slots: number;
  /** For `rateLimit`: slots per second that come back without being released. Default: none. */
  readonly slotDecayPerSecond?: number;
}

export interface SlotRequest {
  readonly names: readonly string[];
  /** How many slots of each name. */
  readonly slots: number;
  /** The run that asks, for people who look at who holds what. */
  readonly holder: string;
  /** true: the slots are never released, they come back by decay alone (`rateLimit`). */
  readonly isRate: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Slots that were taken, until they are released. */
export interface Slots {
  /** Gives them back: the first in line is served. Safe to call twice; without effect for a rate. */
  release(): void;
}

/** Is it a limit as users write one: the slots alone, or a Limit? */
export function isLimit(value: unknown): value is number | Limit {
  if (typeof value === "number") return wholeNumber(0).accepts(value);
  const { slots, slotDecayPerSecond } = Object(value) as Partial<Limit>;
  return (
    wholeNumber(0).accepts(slots) &&
    (slotDecayPerSecond === undefined ||
      (finiteNumber(0).accepts(slotDecayPerSecond) && slotDecayPerSecond > 0))
  );
}
