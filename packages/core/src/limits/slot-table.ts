import { watchAbort } from "../tools/abort-watch.ts";
import { EMPTY, type Level, levelAt, msUntil, raised } from "./leaky-bucket.ts";
import type { Limit, SlotRequest, Slots } from "./limiter.ts";
import { Line } from "./line.ts";

/** The slots of one name: those that are held, those that come back by decay, and who waits. */
interface Entry {
  readonly name: string;
  held: number;
  /** On the clock of `performance.now()`. */
  level: Level;
  readonly line: Line<Waiter>;
}

interface Waiter {
  readonly request: SlotRequest;
  readonly wants: readonly { readonly entry: Entry; readonly limit: Limit }[];
  /** Take it out of the line of each. */
  leaveLines: readonly (() => void)[];
  readonly onGranted: () => void;
  /** Runs while decay alone is waited for, and keeps the process alive then: nothing else would wake the waiter. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * Who holds and who waits for which slots. A request stands in the line of each of its names, and is served when it is
 * the first in all of them and there is room under all. So a release looks at the first of a line, and costs as much with
 * ten thousand in it as with one. All lines have one order, that of asking: the oldest request is first in all of its own.
 */
export class SlotTable {
  readonly #entries = new Map<string, Entry>();

  /**
   * @param request its signal has not fired
   * @param limits what binds the request, by name; others may give another limit for the same name
   */
  acquire(request: SlotRequest, limits: ReadonlyMap<string, Limit>): Promise<Slots> {
    return new Promise((resolve, reject) => {
      const wants = Array.from(limits, ([name, limit]) => ({ entry: this.#entry(name), limit }));
      const unwatch = watchAbort(request.signal, () => {
        this.#remove(waiter);
        this.#serveAfter(waiter);
        reject(request.signal?.reason);
      });
      const onGranted = () => {
        unwatch();
        resolve(request.isRate ? NOTHING_TO_RELEASE : this.#slotsOf(waiter));
      };
      const waiter: Waiter = { request, wants, leaveLines: [], onGranted, timer: undefined };
      waiter.leaveLines = wants.map(({ entry }) => entry.line.join(waiter));
      this.#grantIfFirst(waiter);
    });
  }

  #slotsOf(waiter: Waiter): Slots {
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      for (const { entry } of waiter.wants) entry.held -= waiter.request.slots;
      this.#serveAfter(waiter);
    };
    return { release };
  }

  /** Serves those for whom one who left made way, and in turn those behind them. */
  #serveAfter(left: Waiter): void {
    const changed = left.wants.map(({ entry }) => entry);
    for (let entry = changed.pop(); entry !== undefined; entry = changed.pop()) {
      const { first } = entry.line;
      if (first === undefined) this.#forgetIdle(entry);
      else if (this.#grantIfFirst(first)) changed.push(...first.wants.map((want) => want.entry));
    }
  }

  /** Grants what is asked for, when it is its turn and there is room. Was it granted? */
  #grantIfFirst(waiter: Waiter): boolean {
    const { request, wants } = waiter;
    // One signal may take out many, one after the other: none of them is served in between.
    if (request.signal?.aborted || wants.some(({ entry }) => entry.line.first !== waiter)) return false;
    clearTimeout(waiter.timer);
    const nowMs = performance.now();
    let waitMs = 0;
    for (const { entry, limit } of wants) {
      const most = limit.slots - entry.held - request.slots;
      if (most < 0) return false; // A release looks again.
      waitMs = Math.max(waitMs, msUntil(entry.level, most, nowMs));
    }
    if (waitMs > 0) {
      waiter.timer = setTimeout(() => this.#serveAfter(waiter), waitMs);
      return false;
    }
    this.#remove(waiter);
    for (const { entry, limit } of wants) {
      if (!request.isRate) entry.held += request.slots;
      else entry.level = raised(entry.level, request.slots, limit.slotDecayPerSecond ?? 0, nowMs);
    }
    waiter.onGranted();
    return true;
  }

  #remove(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    for (const leave of waiter.leaveLines) leave();
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { name, held: 0, level: EMPTY, line: new Line() };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  /** A name that nobody holds or waits for needs no memory: names may be made from data. */
  #forgetIdle(entry: Entry): void {
    if (entry.held === 0 && levelAt(entry.level, performance.now()) === 0) this.#entries.delete(entry.name);
  }
}

const NOTHING_TO_RELEASE: Slots = { release: () => {} };
