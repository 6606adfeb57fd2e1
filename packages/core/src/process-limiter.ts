import { InvalidOptionError, LimitExceededError } from "./errors.ts";
import type { Limit, Limiter, SlotRequest, Slots } from "./limiter.ts";

/**
 * Limits that hold in this process. Every instance says what its own requests are bound by; who holds what is known
 * process-wide, so that two runs of a flow that limits "db" to 2 hold 2 slots together.
 */
export class ProcessLimiter implements Limiter {
  readonly #limits: ReadonlyMap<string, Limit>;

  constructor(limits: Readonly<Record<string, number | Limit>>) {
    const entries = Object.entries(limits).map(
      ([name, limit]) => [name, typeof limit === "number" ? { slots: limit } : limit] as const,
    );
    this.#limits = new Map(entries);
  }

  isLimited(name: string): boolean {
    return this.#limits.has(name);
  }

  acquire({ names, slots, isRate, signal }: SlotRequest): Promise<Slots> {
    const wants = [...new Set(names)].flatMap((name) => {
      const limit = this.#limits.get(name);
      return limit === undefined ? [] : [{ ...limit, name }];
    });
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      for (const { name, slots: limit, slotDecayPerSecond } of wants) {
        if (slots > limit) throw new LimitExceededError(name, slots, limit);
        if (isRate && slotDecayPerSecond === undefined) {
          const expected =
            "a limit with `slotDecayPerSecond`, since slots of a rate come back by decay alone";
          throw new InvalidOptionError(`the limit "${name}" of rateLimit()`, expected, limit);
        }
      }
      const waiter: Waiter = { wants, slots, isRate, serve: () => resolve(serve()) };
      const stopListening = () => signal?.removeEventListener("abort", onAbort);
      const onAbort = () => {
        leaveLine(waiter);
        reject(signal?.reason);
      };
      const serve = (): Slots => {
        stopListening();
        return isRate ? NOTHING_TO_RELEASE : heldSlots(waiter);
      };
      signal?.addEventListener("abort", onAbort);
      for (const { name } of wants) tableOf(name).line.add(waiter);
      serveFirst(wants.map(({ name }) => name));
      if (wants.length === 0) waiter.serve();
    });
  }
}

/** Somebody in line: in the line of each name that it wants slots of. */
interface Waiter {
  readonly wants: readonly (Limit & { readonly name: string })[];
  readonly slots: number;
  readonly isRate: boolean;
  serve(): void;
}

/** What this process knows of a name. */
interface Table {
  held: number;
  /** Slots that were taken by rates and have not decayed, at the time `levelAt`. */
  level: number;
  /** On the clock of `performance.now()`. */
  levelAt: number;
  /** In the order in which they came. */
  readonly line: Set<Waiter>;
  timer: NodeJS.Timeout | undefined;
}

const tables = new Map<string, Table>();
const NOTHING_TO_RELEASE: Slots = { release() {} };

function tableOf(name: string): Table {
  let table = tables.get(name);
  if (table === undefined) {
    table = { held: 0, level: 0, levelAt: performance.now(), line: new Set(), timer: undefined };
    tables.set(name, table);
  }
  return table;
}

function heldSlots({ wants, slots }: Waiter): Slots {
  let isHeld = true;
  return {
    release() {
      if (!isHeld) return;
      isHeld = false;
      for (const { name } of wants) tableOf(name).held -= slots;
      serveFirst(wants.map(({ name }) => name));
    },
  };
}

function leaveLine(waiter: Waiter): void {
  for (const { name } of waiter.wants) tableOf(name).line.delete(waiter);
  serveFirst(waiter.wants.map(({ name }) => name));
}

/**
 * Serves those that are first in the line of every name that they want, as long as there is room. Only the first can
 * be served, so a release costs as much with ten thousand in line as with one.
 */
function serveFirst(names: string[]): void {
  for (let name = names.pop(); name !== undefined; name = names.pop()) {
    const [first] = tableOf(name).line;
    if (first === undefined || !isFirstEverywhere(first) || !hasRoom(first)) {
      if (first === undefined) forget(name);
      continue;
    }
    for (const { name: taken } of first.wants) {
      const table = tableOf(taken);
      table.line.delete(first);
      if (first.isRate) table.level += first.slots;
      else table.held += first.slots;
      names.push(taken);
    }
    first.serve();
  }
}

function isFirstEverywhere(waiter: Waiter): boolean {
  return waiter.wants.every(({ name }) => tableOf(name).line.values().next().value === waiter);
}

/** Where decay alone makes room, a timer looks again. */
function hasRoom({ wants, slots }: Waiter): boolean {
  const now = performance.now();
  for (const { name, slots: limit, slotDecayPerSecond = 0 } of wants) {
    const table = tableOf(name);
    table.level = decayed(table.level, slotDecayPerSecond, now - table.levelAt);
    table.levelAt = now;
    const tooMany = table.held + table.level + slots - limit;
    if (tooMany <= 0) continue;
    if (table.held + slots <= limit && slotDecayPerSecond > 0) {
      clearTimeout(table.timer);
      table.timer = setTimeout(() => serveFirst([name]), Math.ceil((tooMany / slotDecayPerSecond) * 1000));
    }
    return false;
  }
  return true;
}

function decayed(level: number, perSecond: number, elapsedMs: number): number {
  return Math.max(0, level - (perSecond * elapsedMs) / 1000);
}

/** A name that nobody holds or waits for needs no memory. */
function forget(name: string): void {
  const table = tables.get(name);
  if (table !== undefined && table.held === 0 && table.level === 0 && table.line.size === 0)
    tables.delete(name);
}
