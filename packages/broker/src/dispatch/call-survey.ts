import type { Call, CallPlace, CallSurvey, NestedRun } from "@millrace/core";
import type { BatchPlaces } from "../batch-place.ts";
import type { Capacity, RunnerLink } from "../broker.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { type Entry, LocalEntry } from "./entries.ts";
import type { NestedEntry } from "./nested-entry.ts";
import type { Outstanding } from "./outstanding.ts";
import type { Waiting } from "./waiting.ts";

/** What a dispatcher shows of its calls. */
export interface DispatcherView {
  readonly queue: string;
  readonly capacity: Capacity;
  readonly waiting: Waiting;
  readonly outstanding: Outstanding;
  /** Calls that need a lost value, which is being made again. */
  readonly restoring: ReadonlySet<Entry>;
}

/** A dispatcher's calls, and where its broker said a moment ago that their batches are. */
export class DispatcherSurvey {
  readonly #view: DispatcherView;
  readonly #batches: BatchPlaces;
  /** The batches that the broker was asked for. */
  readonly #asked: ReadonlySet<string>;
  /** How many calls are ahead of each that waits. Made when it is first asked for: a million may wait. */
  #ahead: Map<Entry, number> | undefined;

  /** Never rejects. */
  static async take(view: DispatcherView, link: RunnerLink): Promise<DispatcherSurvey> {
    const asked = new Set(view.outstanding.batchIds());
    return new DispatcherSurvey(view, asked, await link.locate([...asked]));
  }

  private constructor(view: DispatcherView, asked: ReadonlySet<string>, batches: BatchPlaces) {
    this.#view = view;
    this.#asked = asked;
    this.#batches = batches;
  }

  /** Undefined when the call is nowhere. */
  placeOf(entry: Entry): CallPlace | undefined {
    const { queue, outstanding, restoring } = this.#view;
    if (restoring.has(entry)) return { type: "awaits-value" };
    if (entry.batchId === undefined) return this.#placeOfWaiting(entry);
    if (outstanding.get(entry.sequence) !== entry) return undefined;
    if ("awaySince" in this.#batches) return { type: "redis-away", queue, since: this.#batches.awaySince };
    return this.#placeOfSent(entry, entry.batchId);
  }

  *nested(): Iterable<NestedEntry> {
    for (const { nested } of this.#view.outstanding.all())
      if (nested !== undefined) yield* nested.calls.values();
  }

  #placeOfWaiting(entry: Entry): CallPlace | undefined {
    const { queue, capacity, waiting, outstanding } = this.#view;
    if (this.#ahead === undefined) {
      this.#ahead = new Map();
      for (const each of waiting.all()) this.#ahead.set(each, this.#ahead.size);
    }
    const ahead = this.#ahead.get(entry);
    if (ahead === undefined) return undefined;
    if ("awaySince" in this.#batches) return { type: "redis-away", queue, since: this.#batches.awaySince };
    if (capacity.slots === 0) return { type: "no-workers", queue };
    return { type: "awaits-window", queue, ahead, withWorkers: outstanding.size };
  }

  #placeOfSent({ isAlone, hasStarted }: Entry, batchId: string): CallPlace | undefined {
    const { queue, capacity } = this.#view;
    const place = "places" in this.#batches ? this.#batches.places.get(batchId) : undefined;
    if (place === undefined && this.#asked.has(batchId)) return undefined;
    if (place?.type === "returning") return { type: "returning", queue };
    if (place?.type === "held") {
      const { workerId, worker, since } = place;
      const { host, pid } = worker ?? {};
      const awaitsQuiet = isAlone && !hasStarted;
      const isAlive = worker !== undefined;
      return {
        type: "held",
        queue,
        workerId,
        isAlive,
        ...(awaitsQuiet && { awaitsQuiet }),
        host,
        pid,
        since,
      };
    }
    // In the queue, or on its way there: also when it was sent after the look.
    const { workers } = capacity;
    return workers === 0 ? { type: "no-workers", queue } : { type: "queued", queue, workers };
  }
}

/**
 * The calls of all dispatchers of a flow run.
 *
 * @param queueBeingOpened where a call will go to which the way is only being opened; undefined when that is open
 */
export function surveyOf(
  surveys: ReadonlyMap<Dispatcher, DispatcherSurvey>,
  queueBeingOpened: (call: Call) => string | undefined,
): CallSurvey {
  return {
    placeOf: (asked) => {
      const call = asked as Call;
      const queue = queueBeingOpened(call);
      if (queue !== undefined) return { type: "opens-queue", queue };
      const { ticket } = call;
      return ticket instanceof LocalEntry ? surveys.get(ticket.dispatcher)?.placeOf(ticket) : undefined;
    },
    nested: [...surveys.values()].flatMap((survey) =>
      [...survey.nested()].map((entry) => nestedRun(entry, surveys)),
    ),
  };
}

function nestedRun(entry: NestedEntry, surveys: ReadonlyMap<Dispatcher, DispatcherSurvey>): NestedRun {
  const { taskRunId, taskKey, lane, queue } = entry;
  const name = taskKey.slice(taskKey.indexOf("\n") + 1);
  return {
    taskRunId,
    taskRunName: `${name}${taskRunId.slice(taskRunId.lastIndexOf("-"))}`,
    place: lane === undefined ? { type: "opens-queue", queue } : surveys.get(lane)?.placeOf(entry),
  };
}
