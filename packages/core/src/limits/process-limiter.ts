import { InvalidOptionError, LimitExceededError } from "../errors/errors.ts";
import { isLimit, type Limit, type Limiter, type SlotRequest, type Slots } from "./limiter.ts";
import { SlotTable } from "./slot-table.ts";

/** Who holds what is known process-wide: two runs of a flow that limits "db" to 2 hold 2 slots together. */
const processTable = new SlotTable();

/**
 * Limits that hold in this process. An instance says what its own requests are bound by, and counts what all instances
 * hold of the names that they limit.
 */
export class ProcessLimiter implements Limiter {
  readonly #limits: ReadonlyMap<string, Limit>;

  /** @throws InvalidOptionError for what is no limit */
  constructor(limits: Readonly<Record<string, number | Limit>>) {
    this.#limits = new Map(Object.entries(limits).map(([name, limit]) => [name, toLimit(name, limit)]));
  }

  isLimited(name: string): boolean {
    return this.#limits.has(name);
  }

  async acquire(request: SlotRequest): Promise<Slots> {
    request.signal?.throwIfAborted();
    const limits = new Map<string, Limit>();
    for (const name of request.names) {
      const limit = this.#limits.get(name);
      if (limit === undefined) continue;
      checkPossible(name, limit, request);
      limits.set(name, limit);
    }
    return processTable.acquire(request, limits);
  }
}

function toLimit(name: string, limit: number | Limit): Limit {
  if (!isLimit(limit)) {
    throw new InvalidOptionError(
      `the limit "${name}"`,
      "a whole number, or { slots, slotDecayPerSecond }",
      limit,
    );
  }
  return typeof limit === "number" ? { slots: limit } : limit;
}

/** Waiting would be for ever. @throws LimitExceededError, InvalidOptionError */
function checkPossible(name: string, limit: Limit, { slots, isRate }: SlotRequest): void {
  if (slots > limit.slots) throw new LimitExceededError(name, slots, limit.slots);
  if (isRate && limit.slotDecayPerSecond === undefined) throw rateWithoutDecay(name);
}

/** A limiter in Redis refuses so, too. */
export function rateWithoutDecay(name: string): InvalidOptionError {
  const expected = "a number above 0, since slots of a rate come back by decay alone";
  return new InvalidOptionError(
    `slotDecayPerSecond of the limit "${name}", which rateLimit() uses,`,
    expected,
    undefined,
  );
}
