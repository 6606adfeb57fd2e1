import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import {
  type Batch,
  type BatchCall,
  Durations,
  decodeReport,
  type EncodedReport,
  encodeBatch,
  encodeReport,
  Queue,
  type Report,
} from "@millrace/broker";
import { WorkerLostError, WorkerStartError } from "@millrace/core";
import { currentProjectRoot, decode, encode, writeLogLine } from "@millrace/core/internal";
import type { Piscina } from "piscina";
import { deathSentence } from "./death-sentence.ts";
import type { Executor } from "./executor.ts";
import { Signal } from "./signal.ts";
import { AHEAD_MS, planChunk } from "./thread-plan.ts";
import type { FromThread, ThreadStart } from "./thread-protocol.ts";
import { threadArguments, tsxOf } from "./typescript-loader.ts";

export interface ThreadExecutorOptions {
  readonly threads: number;
  /** Default: the root of the project that this process runs. */
  readonly root?: string;
  /** The package.json of the tsx to load TypeScript with. Default: the one this process was started with, if it was. */
  readonly tsx?: string | undefined;
}

/** A batch that is being executed. */
interface Execution {
  readonly batch: Batch;
  /** For learning durations: one key per task of the batch. */
  readonly taskKeys: readonly string[];
  remaining: number;
  readonly onReport: (report: EncodedReport, isLast: boolean) => void;
}

interface PendingCall {
  readonly execution: Execution;
  readonly call: BatchCall;
  /** What it was expected to take when a thread got it. */
  expectedMs: number | undefined;
}

/** `src` and `dist` are side by side: threads run the built file in both, since a thread cannot load our TypeScript. */
const THREAD_ENTRY = fileURLToPath(new URL("../dist/thread-bootstrap.cjs", import.meta.url));

/**
 * Executes calls in worker threads, one at a time in each. Piscina starts, replaces and ends the threads; calls do not
 * pass through its queue but through a port per thread, so that several can be on the way, and outcomes come as they
 * end. (Piscina's queue is not first in, first out, and answers once per run; one call at a time through it costs 70
 * to 100 µs.)
 */
export class ThreadExecutor implements Executor {
  readonly threads: number;
  readonly #root: string;
  readonly #tsx: string | undefined;
  readonly #slots: ThreadSlot[] = [];
  readonly #pending = new Queue<PendingCall>();
  readonly #executions = new Map<string, Execution>();
  readonly #durations = new Durations<string>();
  readonly #changed = new Signal();
  #pool: Piscina | undefined;
  #modules: readonly string[] = [];
  #isClosed = false;

  constructor({
    threads,
    root = currentProjectRoot(),
    tsx = tsxOf(process.execArgv),
  }: ThreadExecutorOptions) {
    this.threads = threads;
    this.#root = root;
    this.#tsx = tsx;
  }

  async start(modules: readonly string[] = []): Promise<void> {
    this.#modules = modules;
    const { Piscina } = await import("piscina");
    if (this.#isClosed) return;
    const execArgv = threadArguments(process.execArgv);
    this.#pool = new Piscina({
      filename: THREAD_ENTRY,
      minThreads: this.threads,
      maxThreads: this.threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: "disabled", // The default parks an idle thread in Atomics.wait: no timers, no sockets, no messages.
      recordTiming: false,
      ...(execArgv !== undefined && { execArgv }),
    });
    this.#pool.on("error", () => {}); // A thread that dies is seen by its resident run.
    for (let index = 0; index < this.threads; index++) this.#slots.push(this.#openSlot(this.#pool));
    try {
      // One thread that is ready can work; the others come beside it.
      await Promise.race(this.#slots.map((slot) => slot.ready));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  execute(batch: Batch, onReport: Execution["onReport"]): void {
    const taskKeys = batch.tasks.map(({ module, name }) => `${module}\n${name}`);
    const execution: Execution = { batch, taskKeys, remaining: batch.calls.length, onReport };
    this.#executions.set(batch.id, execution);
    for (const call of batch.calls) this.#pending.push({ execution, call, expectedMs: undefined });
    this.#feed();
  }

  hasRoom(): boolean {
    if (this.#isClosed || this.#pending.size >= this.threads) return false;
    return this.#slots.some((slot) => slot.isReady && slot.inFlightMs < 2 * AHEAD_MS);
  }

  room(): Promise<void> {
    return this.#changed.wait();
  }

  async idle(): Promise<void> {
    while (this.#executions.size > 0 && !this.#isClosed) await this.#changed.wait();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#executions.clear();
    this.#changed.fire();
    for (const slot of this.#slots) slot.port.close();
    await this.#pool?.destroy();
  }

  // ---- Out -------------------------------------------------------------------------------------------------------

  /** Hands pending calls to threads, a chunk each in turn, until each has enough. */
  #feed(): void {
    for (let progress = true; progress && this.#pending.size > 0; ) {
      progress = false;
      for (const slot of this.#slots) {
        if (!slot.isReady) continue;
        const count = planChunk({
          threads: this.threads,
          pending: this.#pending.size,
          inFlightCalls: slot.inFlight.size,
          inFlightMs: slot.inFlightMs,
          expectedMs: (index) => this.#expectedMs(this.#pending.at(index)),
        });
        if (count > 0) progress = true;
        this.#sendChunk(slot, count);
      }
    }
  }

  /** Sends up to `count` calls from the front of the queue that belong to one batch. */
  #sendChunk(slot: ThreadSlot, count: number): void {
    let taken = 0;
    while (taken < count && this.#pending.at(taken).execution === this.#pending.at(0).execution) taken++;
    if (taken === 0) return;
    const chunk = this.#pending.take(taken);
    const { batch } = chunk[0]!.execution;
    for (const pending of chunk) pending.expectedMs = this.#expectedMs(pending);
    slot.send({ ...batch, calls: chunk.map(({ call }) => call) }, chunk);
  }

  #expectedMs({ execution, call }: PendingCall): number | undefined {
    return this.#durations.expectedMs(execution.taskKeys[call.task] as string);
  }

  // ---- In --------------------------------------------------------------------------------------------------------

  #onReport(slot: ThreadSlot, bytes: Uint8Array): void {
    const report = decodeReport(bytes);
    const ended = slot.ended(report.outcomes.length);
    const execution = this.#executions.get(report.batchId);
    this.#learn(ended, report);
    if (execution !== undefined) this.#forward(execution, { report, bytes });
    else if (report.logs !== "") writeLogLine(report.logs); // Written after the end of its batch, by what a call left behind.
    this.#feed();
    this.#changed.fire();
  }

  /** Calls of one task in a row count as one observation: their mean is steadier than any of them. */
  #learn(ended: readonly PendingCall[], { outcomes }: Report): void {
    for (let first = 0; first < ended.length; ) {
      const { execution, call } = ended[first]!;
      let last = first;
      let micros = 0;
      while (ended[last]?.call.task === call.task) micros += outcomes[last++]!.durationMicros;
      this.#durations.observe(execution.taskKeys[call.task] as string, last - first, micros / 1000);
      first = last;
    }
  }

  #forward(execution: Execution, encoded: EncodedReport): void {
    execution.remaining -= encoded.report.outcomes.length;
    const isLast = execution.remaining === 0 && this.#executions.delete(execution.batch.id);
    execution.onReport(encoded, isLast);
  }

  // ---- Threads ---------------------------------------------------------------------------------------------------

  #openSlot(pool: Piscina): ThreadSlot {
    const slot: ThreadSlot = new ThreadSlot({
      onReady: () => {
        this.#feed();
        this.#changed.fire();
      },
      onReport: (bytes) => this.#onReport(slot, bytes),
    });
    const start: ThreadStart = {
      ...slot.start,
      root: this.#root,
      tsx: this.#tsx,
      modules: this.#modules,
    };
    pool.run(start, { transferList: [start.port] }).then(
      () => this.#replace(slot, pool, "The thread ended."),
      (error: unknown) => this.#replace(slot, pool, deathSentence(error)),
    );
    return slot;
  }

  /** A thread has died: the call that ran in it is reported as crashed, the others run again without blame. */
  #replace(slot: ThreadSlot, pool: Piscina, reason: string): void {
    if (this.#isClosed) return;
    slot.receiveLast();
    slot.port.close();
    slot.failStart(new WorkerStartError(`Expected a worker thread to start, but it died. ${reason}`));
    const { running, others } = slot.lost();
    this.#pending.prepend(others);
    this.#slots[this.#slots.indexOf(slot)] = this.#openSlot(pool);
    if (running !== undefined) {
      const { execution, call } = running;
      const payload = encode(new WorkerLostError(`The worker thread that ran the call died. ${reason}`));
      const report: Report = {
        batchId: execution.batch.id,
        outcomes: [{ sequence: call.sequence, kind: "crashed", durationMicros: 0, payload }],
        logs: "",
      };
      this.#forward(execution, { report, bytes: encodeReport(report) });
    }
    this.#changed.fire();
  }
}

interface SlotHandlers {
  readonly onReady: () => void;
  readonly onReport: (bytes: Uint8Array) => void;
}

/** One thread, and the calls that it has, in the order in which it runs them. */
class ThreadSlot {
  readonly port: MessagePort;
  readonly start: Pick<ThreadStart, "port" | "started">;
  readonly ready: Promise<void>;
  readonly inFlight = new Queue<PendingCall>();
  isReady = false;
  failStart!: (error: Error) => void;
  /** Expected time of the known calls in flight. */
  #knownMs = 0;
  #unknown = 0;
  #reported = 0;
  #receive!: (message: FromThread) => void;

  constructor({ onReady, onReport }: SlotHandlers) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.start = { port: port2, started: new Int32Array(new SharedArrayBuffer(4)) };
    this.ready = new Promise((resolve, reject) => {
      this.failStart = reject;
      this.#receive = (message) => {
        if (message instanceof Uint8Array) return onReport(message);
        if (message.type === "failed") return reject(decode(message.error));
        this.isReady = true;
        resolve();
        onReady();
      };
      port1.on("message", this.#receive);
    });
    this.ready.catch(() => {});
  }

  /** Takes in what a thread that has died sent before: its end may be known before its last words. */
  receiveLast(): void {
    this.isReady = false;
    for (
      let last = receiveMessageOnPort(this.port);
      last !== undefined;
      last = receiveMessageOnPort(this.port)
    ) {
      this.#receive(last.message as FromThread);
    }
    this.isReady = false;
  }

  /** Infinity while a call of a new task is in flight. */
  get inFlightMs(): number {
    return this.#unknown > 0 ? Number.POSITIVE_INFINITY : this.#knownMs;
  }

  send(chunk: Batch, calls: readonly PendingCall[]): void {
    for (const call of calls) {
      this.inFlight.push(call);
      if (call.expectedMs === undefined) this.#unknown++;
      else this.#knownMs += call.expectedMs;
    }
    const bytes = new Uint8Array(encodeBatch(chunk)); // See thread-entry.ts: only a copy can be handed over.
    this.port.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
  }

  /** Takes out the `count` calls that have ended: a thread runs and reports them in order. */
  ended(count: number): PendingCall[] {
    const ended = this.inFlight.take(count);
    this.#reported += ended.length;
    for (const { expectedMs } of ended) {
      if (expectedMs === undefined) this.#unknown--;
      else this.#knownMs -= expectedMs;
    }
    if (this.inFlight.size === 0) this.#knownMs = 0; // Sums of fractions drift.
    return ended;
  }

  /** The thread is dead: the call that it was running, and those that it had not started or whose outcome was on the way. */
  lost(): { running: PendingCall | undefined; others: PendingCall[] } {
    const startedUnreported = Atomics.load(this.start.started, 0) - this.#reported;
    const calls = this.inFlight.take(this.inFlight.size);
    const running = startedUnreported > 0 ? calls[startedUnreported - 1] : undefined;
    return { running, others: calls.filter((call) => call !== running) };
  }
}
