import { BrokerUnavailableError, WorkerLostError } from "@millrace/core";
import { decode, decodeWithInputs } from "@millrace/core/internal";
import type { BatchPlace } from "../src/batch-place.ts";
import type { Broker, RunnerHandlers, RunnerLink, RunnerOwner, WorkerLink } from "../src/broker.ts";
import { type Batch, isSequence } from "../src/wire/batch.ts";
import type { Report } from "../src/wire/report.ts";
import { decodeOutcome, encodeRequest } from "../src/wire/requests.ts";
import type { CallAnswer } from "../src/wire/worker-messages.ts";
import {
  canProceed,
  type Delivery,
  deliveryOf,
  endCall,
  type HeldCall,
  isParked,
  isReady,
  isUnanswered,
  type Place,
  type Program,
  places,
  reportOf,
  type Worker,
} from "./faulty-calls.ts";

/**
 * A broker with its workers, for one runner. It does only what it is told to, one step after the other, and all that brokers and
 * workers may do. Where a step has a choice, a number makes it. A step that finds nothing to do does nothing.
 */
export class FaultyCluster implements Broker {
  readonly sent: Batch[] = [];
  readonly released: string[] = [];
  /** Those that were sent before the runner gave up all that it had, if it did: it does not release them. */
  sentBeforeAway: number | undefined;
  /** What the runner has done that it must not do. */
  readonly faults: string[] = [];
  /** Calls that the runner has not settled, as it says. */
  unsettled = () => 0;
  readonly #program: Program;
  #handlers!: RunnerHandlers;
  readonly #queue: Batch[] = [];
  #workers: Worker[] = [new Set(), new Set()];
  /** What died with its worker, or is lost otherwise, and the runner has not heard of it. */
  readonly #lost: Delivery[] = [];
  /** What the runner has asked for, and has not arrived. */
  readonly #requests: (() => void)[] = [];
  /** What the broker has found out, and the runner has not heard. */
  readonly #news: (() => void)[] = [];
  /** All that the runner was told, and what it should have been by those who died. It may be told again, and late. */
  readonly #past: (() => void)[] = [];

  constructor(program: Program) {
    this.#program = program;
  }

  async connectRunner(handlers: RunnerHandlers, owner?: RunnerOwner): Promise<RunnerLink> {
    this.#handlers = handlers;
    if (owner !== undefined) this.unsettled = owner.calls;
    this.#news.push(this.#tellCapacity);
    return {
      runnerId: "runner",
      send: (batch) => {
        this.sent.push(batch);
        this.#queue.push(batch);
      },
      release: (batchId) => this.#release(batchId),
      cancel: (batchId, sequences) => void this.#requests.push(() => this.#cancel(batchId, sequences)),
      handBack: (batchId) => void this.#requests.push(() => this.#handBack(batchId)),
      answer: (_workerId, answer) => this.#answer(answer),
      locate: async () => ({ places: new Map(this.#places()) }),
      close: async () => {},
    };
  }

  connectWorker(): Promise<WorkerLink> {
    throw new Error("Expected no worker: the cluster plays all of them.");
  }

  async close(): Promise<void> {}

  // ---- Steps -----------------------------------------------------------------------------------------------------

  readonly steps = {
    /** One of the four that follow: where there is nothing to take or to begin, there may be something to go on with. */
    work: (choice: number): boolean => {
      const { take, begin, proceed, report } = this.steps;
      const four = [take, begin, proceed, report];
      const [from, rest] = [choice % four.length, choice >> 2];
      return [...four.slice(from), ...four.slice(0, from)].some((step) => step(rest));
    },
    /** A worker takes a batch: not always the oldest, since another worker may be a moment behind. */
    take: (choice: number) => this.#take(choice),
    /** A call begins. */
    begin: (choice: number) => this.#begin(pick(this.#startable(), choice)),
    /** A call does what its function does next. */
    proceed: (choice: number) => this.#proceed(pick(this.#running().filter(canProceed), choice), choice),
    /** Some outcomes of a batch are reported. */
    report: (choice: number) => {
      const delivery = pick(this.#reportable(), choice);
      return delivery !== undefined && this.#report(delivery, 1 + (choice % 3));
    },
    /** A call has begun, as its worker says when it goes on. */
    tellStarted: (choice: number) => this.#tellState(choice, "started"),
    /** It awaits something. */
    tellParked: (choice: number) => this.#tellState(choice, "parked"),
    /** What the runner has asked for arrives. */
    hear: () => run(this.#requests.shift()),
    /** The runner hears what the broker has found out. */
    notify: () => run(this.#news.shift()),
    killThread: (choice: number) => this.#killThread(pick(this.#workers, choice)),
    killWorker: (choice: number) => this.#killWorker(pick(this.#workers, choice)),
    /** A worker leaves in good order, and has no time for what runs. */
    stopWorker: (choice: number) => this.#stopWorker(pick(this.#workers, choice)),
    addWorker: () => {
      if (this.#workers.length > 3) return false;
      this.#workers.push(new Set());
      return this.#news.push(this.#tellCapacity) > 0;
    },
    /** A batch is lost alone: it could not be stored, or its worker was cut off from it, which may look as if that had died. */
    loseBatch: (choice: number) => this.#loseBatch(choice),
    /** Now and then, the broker has been away for too long. It is back at once, with all that it had. */
    beAway: (choice: number) => choice % 20 === 0 && this.#beAway(),
    /** The runner hears something again, or from a worker that has lost what it tells of. */
    repeat: (choice: number) => run(pick(this.#past, choice)),
  };

  /** Goes on without any trouble, as far as it gets at once. @returns was there anything to do? */
  goOn(): boolean {
    const { hear, notify, take, begin, proceed, report, addWorker } = this.steps;
    let isBusy = false;
    while (this.#workers.length < 2) addWorker();
    for (const step of [notify, hear, take, begin, proceed, report])
      for (let choice = 0; step(choice); choice++) isBusy = true;
    return isBusy;
  }

  // ---- What the runner asks for ----------------------------------------------------------------------------------

  #release(batchId: string): void {
    const delivery = this.#delivery(batchId);
    const isOpen = delivery !== undefined && (delivery.unsent.length > 0 || this.#isOpen(delivery));
    if (this.released.includes(batchId)) this.faults.push(`batch ${batchId} was released twice`);
    if (isOpen || this.#queue.some(({ id }) => id === batchId))
      this.faults.push(`batch ${batchId} was released before all of its calls had ended`);
    this.released.push(batchId);
  }

  #cancel(batchId: string, sequences: readonly number[]): void {
    const place = this.#queue.findIndex(({ id }) => id === batchId);
    if (place >= 0) {
      this.#queue.splice(place, 1);
      this.#tell((to) => to.onWithdrawn(batchId));
      return;
    }
    const delivery = this.#delivery(batchId);
    if (delivery === undefined || this.#giveBackAlone(delivery)) return;
    for (const sequence of sequences) {
      const held = delivery.calls.get(sequence);
      if (held?.state === "waits") endCall(delivery, held, "cancelled");
      else if (held?.state === "runs") held.isCancelled = true;
    }
  }

  /** Also without being asked: a worker that stops does. */
  #handBack(batchId: string): void {
    const delivery = this.#delivery(batchId);
    if (delivery === undefined || this.#giveBackAlone(delivery)) return;
    const worker = this.#workers.find((each) => each.has(delivery)) as Worker;
    const isBusy = [...worker].some(({ calls }) => [...calls.values()].some(({ state }) => state === "runs"));
    const ready = [...delivery.calls.values()].filter((held) => isReady(delivery, held));
    for (const held of isBusy ? ready : ready.slice(1)) endCall(delivery, held, "unstarted");
  }

  /** What is to run alone, and still waits for its turn. */
  #giveBackAlone(delivery: Delivery): boolean {
    const held = [...delivery.calls.values()];
    if (!delivery.batch.isAlone || held.some(({ state }) => state !== "waits")) return false;
    for (const each of held) endCall(delivery, each, "unstarted");
    return true;
  }

  #answer(answer: CallAnswer): void {
    // To the runner, a worker lives until it hears otherwise: whom it has answered may have gone on.
    const isIts = ({ batch }: Delivery) => batch.id === answer.batchId;
    const delivery = this.#delivery(answer.batchId) ?? this.#lost.find(isIts);
    const held = delivery?.calls.get(answer.sequence);
    if (held === undefined) return; // It was too late.
    if (held.answers.has(answer.id)) this.faults.push(`call ${held.taskRunId} was answered twice`);
    held.answers.set(answer.id, decodeOutcome(answer));
  }

  // ---- What workers do -------------------------------------------------------------------------------------------

  #take(choice: number): boolean {
    const worker = pick(this.#workers, choice);
    if (worker === undefined || this.#queue.length === 0) return false;
    const [batch] = this.#queue.splice((choice >> 2) % Math.min(2, this.#queue.length), 1) as [Batch];
    worker.add(deliveryOf(batch));
    return true;
  }

  /** A batch that is to run alone begins when its worker computes nothing else, and nothing begins beside it. */
  #startable(): Place[] {
    return this.#workers.flatMap((worker) => {
      const computing = places(worker).filter(({ held }) => held.state === "runs" && !isParked(held));
      if (computing.some(({ delivery }) => delivery.batch.isAlone)) return [];
      return places(worker).filter(
        ({ delivery, held }) =>
          isReady(delivery, held) && (computing.length === 0 || !delivery.batch.isAlone),
      );
    });
  }

  #begin(place: Place | undefined): boolean {
    if (place === undefined) return false;
    const { delivery, held } = place;
    held.state = "runs";
    if (!delivery.batch.isAlone) return true;
    held.isTold = true;
    return this.#tellReport(delivery, { started: [held.call.sequence] });
  }

  #proceed(place: Place | undefined, choice: number): boolean {
    if (place === undefined) return false;
    const { worker, delivery, held } = place;
    if (held.isCancelled && (choice % 2 === 0 || isUnanswered(held)))
      return endCall(delivery, held, "cancelled");
    const { call } = held;
    const inputs = call.inputs.map((input) =>
      isSequence(input) ? (delivery.calls.get(input)?.value as Uint8Array) : (input as Uint8Array),
    );
    const args = decodeWithInputs(call.args, inputs.map(decode)) as readonly unknown[];
    const next = this.#program.next(held, args);
    switch (next.type) {
      case "returns":
        return endCall(delivery, held, "returned", next.value);
      case "throws":
        return endCall(delivery, held, "threw", next.error);
      case "dies":
        return next.with === "thread" ? this.#killThread(worker) : this.#killWorker(worker);
      case "asks": {
        const id = ++held.asked;
        held.isAwaiting = next.isAwaited;
        const body = encodeRequest(next.request);
        const requests = [{ sequence: call.sequence, id, body, given: [] }];
        return this.#tellReport(delivery, { requests, workerId: "worker" });
      }
    }
  }

  #report(delivery: Delivery, count: number): boolean {
    const outcomes = delivery.unsent.splice(0, count);
    for (const { sequence, kind } of outcomes) {
      const held = delivery.calls.get(sequence) as HeldCall;
      if (kind === "crashed" || kind === "suspected") this.#program.onDeath(held, kind === "crashed");
    }
    if (delivery.unsent.length === 0 && !this.#isOpen(delivery)) this.#drop(delivery);
    return this.#tellReport(delivery, { outcomes });
  }

  #tellState(choice: number, what: "started" | "parked"): boolean {
    const place = pick(this.#running(), choice);
    if (place === undefined) return false;
    if (what === "started") place.held.isTold = true;
    else place.held.isIdle = true;
    return this.#tellReport(place.delivery, { [what]: [place.held.call.sequence] });
  }

  /** All calls that had begun were in it. Those that wait for an answer are not why it died, unless there is no other. */
  #killThread(worker: Worker | undefined): boolean {
    if (worker === undefined) return false;
    const begun = places(worker).filter(({ held }) => held.state === "runs");
    const active = begun.filter(({ held }) => !isUnanswered(held));
    const suspects = active.length > 0 ? active : begun;
    const error = new WorkerLostError("The thread died.");
    for (const place of begun) {
      const { delivery, held } = place;
      if (!suspects.includes(place)) endCall(delivery, held, held.isCancelled ? "cancelled" : "lost");
      else endCall(delivery, held, suspects.length === 1 ? "crashed" : "suspected", error);
    }
    return begun.length > 0;
  }

  #killWorker(worker: Worker | undefined): boolean {
    if (worker === undefined) return false;
    this.#workers = this.#workers.filter((other) => other !== worker);
    for (const delivery of worker) this.#lose(delivery, true);
    this.#news.push(this.#tellCapacity);
    return true;
  }

  #stopWorker(worker: Worker | undefined): boolean {
    if (worker === undefined) return false;
    for (const delivery of worker) this.#handBack(delivery.batch.id);
    for (const delivery of worker) {
      const open = [...delivery.calls.values()].filter(({ state }) => state !== "ended");
      for (const held of open.filter(({ isCancelled }) => isCancelled)) endCall(delivery, held, "cancelled");
      for (const held of open) if (held.state !== "ended") endCall(delivery, held, "lost");
      this.#report(delivery, delivery.unsent.length);
    }
    this.#workers = this.#workers.filter((other) => other !== worker);
    return this.#news.push(this.#tellCapacity) > 0;
  }

  #loseBatch(choice: number): boolean {
    const delivery = pick(
      this.#workers.flatMap((worker) => [...worker]),
      choice >> 1,
    );
    const queued = choice % 2 === 0 || delivery === undefined ? this.#queue.shift() : undefined;
    if (queued !== undefined) this.#lose(deliveryOf(queued), false);
    else if (delivery !== undefined) {
      this.#drop(delivery);
      this.#lose(delivery, choice % 3 === 0);
    }
    return queued !== undefined || delivery !== undefined;
  }

  #beAway(): boolean {
    this.sentBeforeAway = this.sent.length;
    this.#handlers.onUnavailable(new BrokerUnavailableError("here", "no answer"));
    return true;
  }

  // ---- What the runner hears -------------------------------------------------------------------------------------

  readonly #tellCapacity = () => {
    const workers = this.#workers.length;
    this.#handlers.onCapacity({ workers, slots: workers * THREADS });
  };

  /** Outcomes that were not reported in time may be from now on, and count no more. */
  #lose(delivery: Delivery, hasWorkerDied: boolean): void {
    this.#lost.push(delivery);
    this.#news.push(() => {
      this.#lost.splice(this.#lost.indexOf(delivery), 1);
      const { batch, calls, unsent } = delivery;
      const isOpen = ({ state, call }: HeldCall) =>
        state !== "ended" || unsent.some(({ sequence }) => sequence === call.sequence);
      if (hasWorkerDied) {
        for (const held of [...calls.values()].filter(isOpen))
          this.#program.onDeath(held, batch.isAlone && held.isTold && !isParked(held));
      }
      this.#tell((to) => to.onLost({ batchId: batch.id, reason: "It was lost.", hasWorkerDied }));
      this.#past.push(() => this.#handlers.onReport(reportOf(batch.id, { outcomes: unsent })));
    });
  }

  /** Reports come in order: what goes on began after what has ended before. */
  #tellReport(delivery: Delivery, parts: Partial<Report>): boolean {
    const { batch, unsent } = delivery;
    if (parts.outcomes === undefined && unsent.length > 0) this.#report(delivery, unsent.length);
    const report = reportOf(batch.id, parts);
    return this.#tell((to) => to.onReport(report));
  }

  #tell(message: (handlers: RunnerHandlers) => void): true {
    this.#past.push(() => message(this.#handlers));
    message(this.#handlers);
    return true;
  }

  // ---- What is where ---------------------------------------------------------------------------------------------

  #running(): Place[] {
    return this.#workers.flatMap(places).filter(({ held }) => held.state === "runs");
  }

  #reportable(): Delivery[] {
    return this.#workers.flatMap((worker) => [...worker]).filter(({ unsent }) => unsent.length > 0);
  }

  #delivery(batchId: string): Delivery | undefined {
    return this.#workers.flatMap((worker) => [...worker]).find(({ batch }) => batch.id === batchId);
  }

  #isOpen({ calls }: Delivery): boolean {
    return [...calls.values()].some(({ state }) => state !== "ended");
  }

  #drop(delivery: Delivery): void {
    for (const worker of this.#workers) worker.delete(delivery);
  }

  *#places(): Iterable<[string, BatchPlace]> {
    for (const { id } of this.#queue) yield [id, { type: "waiting" }];
    for (const [workerId, worker] of this.#workers.entries())
      for (const { batch } of worker)
        yield [
          batch.id,
          { type: "held", workerId: String(workerId), worker: { host: "here", pid: 1 }, since: undefined },
        ];
  }
}

const THREADS = 2;

function pick<T>(list: readonly T[], choice: number): T | undefined {
  return list[choice % Math.max(list.length, 1)];
}

function run(event: (() => void) | undefined): boolean {
  event?.();
  return event !== undefined;
}
