import { fileURLToPath } from "node:url";
import {
  type Batch,
  type CallOutcome,
  type CallRequest,
  decodeRequest,
  type EncodedReport,
  encodeOutcome,
  type FetchValue,
  type Request,
} from "@millrace/broker";
import { TaskFuture } from "@millrace/core";
import { decode, encode, encodeWithInputs } from "@millrace/core/internal";
import { Conditions } from "../../../test/support/conditions.ts";
import type { Executor } from "../src/executor.ts";

/** A small project of a user, whose tasks the tests run. */
export const FIXTURES = fileURLToPath(new URL("fixtures", import.meta.url));

/** A task's name and its arguments. */
export type CallOf = readonly [name: string, ...args: unknown[]];

let batches = 0;

/** A batch with these calls of tasks of one module; their sequence numbers are 0, 1, 2 … */
export function batchOf(module: string, ...calls: readonly CallOf[]): Batch {
  const names = [...new Set(calls.map(([name]) => name))];
  return {
    id: `runner.${++batches}`,
    runnerId: "runner",
    logLevel: "info",
    isAlone: false,
    tasks: names.map((name) => ({ module, entry: undefined, name, timeoutSeconds: 0 })),
    contexts: [
      {
        ...{ scopeId: "scope", flowRunId: "flow-run", flowName: "flow", flowRunName: "brisk-otter" },
        ...{
          tags: ["a"],
          logConsole: false,
          heldLimits: [],
          hasLimits: false,
          isObserved: false,
          persistResult: false,
        },
      },
    ],
    calls: calls.map(([name, ...args], sequence) => ({
      sequence,
      task: names.indexOf(name),
      context: 0,
      number: 100 + sequence,
      name: "",
      attempt: 1,
      args: encode(args),
      inputs: [],
      after: [],
    })),
  };
}

/** What a call waits for, by the places of other calls in the batch: their values are its arguments, or only their ends count. */
export interface Wait {
  readonly inputs?: readonly number[];
  readonly after?: readonly number[];
}

/** The same batch, some of whose calls, by their place, wait for others. An input is the argument that it takes. */
export function waiting(batch: Batch, waits: Readonly<Record<number, Wait>>): Batch {
  const calls = batch.calls.map((call, place) => {
    const { inputs = [], after = [] } = waits[place] ?? {};
    return inputs.length === 0
      ? { ...call, after }
      : { ...call, args: placeholders(inputs.length), inputs, after };
  });
  return { ...batch, calls };
}

/** The encoded arguments of a call that gets nothing but inputs. */
function placeholders(count: number): Uint8Array {
  return encodeWithInputs(
    Array.from({ length: count }, () => new TaskFuture({} as never)),
    "arguments",
  ).bytes;
}

/** The same batch, each of whose calls may take so long. */
export function limited(batch: Batch, timeoutSeconds: number): Batch {
  return { ...batch, tasks: batch.tasks.map((task) => ({ ...task, timeoutSeconds })) };
}

/** A call's outcome with what it holds: the value, or the error. */
export interface Ended {
  readonly kind: CallOutcome["kind"];
  readonly value: unknown;
}

/** A batch that is being executed. */
export class Execution {
  readonly reports: EncodedReport["report"][] = [];
  /** The sequence numbers, in the order in which the calls ended. */
  readonly order: number[] = [];
  /** Resolves with the outcomes in the order of the calls, when the last report has come. */
  readonly outcomes: Promise<Ended[]>;
  readonly #ended = new Map<number, Ended>();
  readonly #problems: string[] = [];
  readonly #conditions = new Conditions();
  readonly batch: Batch;
  readonly #executor: Executor;
  #isOver = false;

  constructor(executor: Executor, batch: Batch, fetch?: FetchValue) {
    this.batch = batch;
    this.#executor = executor;
    this.outcomes = new Promise((resolve, reject) => {
      const onReport = ({ report }: EncodedReport, isLast: boolean) => {
        this.#take(batch, report);
        if (!isLast) return;
        this.#isOver = true;
        if (this.#ended.size !== batch.calls.length)
          this.#problems.push(`${this.#ended.size} outcomes at the end`);
        if (this.#problems.length > 0)
          reject(new Error(`Expected each call once, got ${this.#problems.join(", ")}.`));
        else resolve(batch.calls.map(({ sequence }) => this.#ended.get(sequence)!));
      };
      executor.execute(batch, onReport, fetch);
    });
  }

  get ended(): number {
    return this.#ended.size;
  }

  get kinds(): Promise<CallOutcome["kind"][]> {
    return this.outcomes.then((outcomes) => outcomes.map(({ kind }) => kind));
  }

  /** What the calls have asked. */
  get requests(): (CallRequest & { readonly request: Request })[] {
    return this.reports
      .flatMap(({ requests }) => requests)
      .map((asked) => ({ ...asked, request: decodeRequest(asked.body) }));
  }

  /** Answers a request with a value that a call has returned. */
  answer({ sequence, id }: CallRequest, value: unknown): void {
    const answered = encodeOutcome({ kind: "returned", payload: encode(value) });
    this.#executor.answer({ batchId: this.batch.id, sequence, id, ...answered });
  }

  /** Answers it with any bytes. */
  answerRaw({ sequence, id }: CallRequest, body: Uint8Array): void {
    this.#executor.answer({ batchId: this.batch.id, sequence, id, body });
  }

  cancel(...sequences: number[]): void {
    this.#executor.cancel(this.batch.id, sequences);
  }

  /** The lines logged, parsed. */
  get lines(): { msg: string; [field: string]: unknown }[] {
    const text = this.reports.map(({ logs }) => logs).join("");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** What went wrong with the reports themselves, also after the end. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Resolves when the condition holds; looks after each report. */
  until(condition: () => boolean): Promise<void> {
    return this.#conditions.until(condition);
  }

  #take(batch: Batch, report: EncodedReport["report"]): void {
    if (this.#isOver) this.#problems.push("a report after the last");
    if (report.batchId !== batch.id) this.#problems.push(`a report of ${report.batchId}`);
    this.reports.push(report);
    for (const { sequence, kind, payload } of report.outcomes) {
      if (this.#ended.has(sequence)) this.#problems.push(`call ${sequence} twice`);
      const isEncoded = payload.length > 0 && kind !== "value-lost";
      this.#ended.set(sequence, { kind, value: isEncoded ? decode(payload) : undefined });
      this.order.push(sequence);
    }
    this.#conditions.changed();
  }
}

/** Executes the batch to its end. */
export function run(executor: Executor, batch: Batch): Promise<Ended[]> {
  return new Execution(executor, batch).outcomes;
}
