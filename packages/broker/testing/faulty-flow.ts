import {
  type Call,
  type FlowRun,
  flow,
  type ResultStore,
  type RunnerSession,
  type TaskFuture,
  task,
} from "@millrace/core";
import { decode, encodeWithInputs } from "@millrace/core/internal";
import { surveyOf } from "../src/dispatch/call-survey.ts";
import { Dispatcher } from "../src/dispatch/dispatcher.ts";
import type { Request } from "../src/wire/requests.ts";
import type { CallInWorker, CallStep, Death, Program } from "./faulty-calls.ts";
import { FaultyCluster } from "./faulty-cluster.ts";
import { sampleBatch } from "./samples.ts";

export interface RunPlan {
  /** Runs before it, so many places back, whose values it gets. */
  readonly inputs: readonly number[];
  /** The same, whose values it does not get. */
  readonly after: readonly number[];
  /** So many of its first attempts fail. */
  readonly failures: number;
  readonly retries: number;
  /** So many of its executions end with their thread or worker. */
  readonly deaths: number;
  readonly death: Death;
  readonly crashRetries: number;
  readonly priority: number;
  /** Is it submitted when a step says so? Else at once, with the run before it. */
  readonly isLater: boolean;
  /** Is its result kept, which takes time, before it is final? */
  readonly isKept: boolean;
  /** What each of its attempts makes; undefined: no run. */
  readonly nested: NestedPlan | undefined;
}

export interface NestedPlan extends Pick<RunPlan, "deaths" | "death" | "crashRetries"> {
  /** Does it need the value? Else it goes on and leaves the nested run behind. */
  readonly isAwaited: boolean;
}

/** How often an attempt died, alone and with others. */
export interface Deaths {
  alone: number;
  beside: number;
}

const work = task({ name: "work" }, (_place: number, ...inputs: number[]) => inputs.length);

/** Another for each place and for each order of inputs. */
export function valueAt(place: number, inputs: readonly number[]): number {
  return inputs.reduce((sum, input) => (sum * 31 + input) % 1_000_003, place + 1);
}

/** The value of what the run there makes, which is its last input then. */
export const nestedValueAt = (place: number) => valueAt(place, [1000]);

const slowStore: ResultStore = {
  read: async () => undefined,
  write: () => new Promise((resolve) => setTimeout(resolve, 1)),
  claim: async () => ({ release: async () => {} }),
};

/** A flow whose runs go as planned, with a session that sees whether calls settle as they should. */
export class FaultyFlow implements Program {
  readonly futures: TaskFuture<number>[] = [];
  /** Those of them that somebody has cancelled. */
  readonly cancelled = new Set<number>();
  readonly cluster = new FaultyCluster(this);
  readonly run: FlowRun<void>;
  /** Resolves when runs can be submitted. */
  readonly opened: Promise<Dispatcher>;
  /** Calls that are to be settled. */
  readonly openCalls = new Set<Call>();
  /** Runs whose nested run crashed: it is theirs to fail of that. */
  readonly failedNested = new Set<number>();
  readonly #plans: readonly RunPlan[];
  readonly #deathsLeft = new Map<RunPlan | NestedPlan, number>();
  readonly #deaths = new Map<string, Deaths>();
  readonly #returned = new Set<number>();
  #submitNext: (() => void) | undefined;
  #resolveOpened!: (dispatcher: Dispatcher) => void;

  constructor(plans: readonly RunPlan[]) {
    this.#plans = plans;
    this.opened = new Promise((resolve) => {
      this.#resolveOpened = resolve;
    });
    const taskRunner = { name: "faulty", open: () => this.#open() };
    this.run = flow({ name: "faulty", taskRunner }, () => this.#submitAll()).start();
  }

  /** Lets the next run be submitted that waits for that. */
  submitNext(): void {
    this.#submitNext?.();
  }

  /** Cancels a run; or now and then all, in one turn. */
  cancel(choice: number): void {
    const all = [...this.futures.keys()];
    for (const place of choice % 9 === 0 ? all : all.filter((at) => at === choice % all.length)) {
      this.cancelled.add(place);
      void this.futures[place]!.cancel();
    }
  }

  upstreamOf(place: number): readonly number[] {
    const { inputs, after } = this.#plans[place]!;
    return [...this.back(place, inputs), ...this.back(place, after)];
  }

  back(place: number, back: readonly number[]): readonly number[] {
    return back.map((by) => place - by).filter((at) => at >= 0);
  }

  deathsOf(taskRunId: string, attempt: number): Deaths {
    const key = `${taskRunId}.${attempt}`;
    const deaths = this.#deaths.get(key) ?? { alone: 0, beside: 0 };
    this.#deaths.set(key, deaths);
    return deaths;
  }

  async #submitAll(): Promise<void> {
    for (const [place, plan] of this.#plans.entries()) {
      const { retries, crashRetries, priority, after, inputs, isKept } = plan;
      if (plan.isLater) {
        await new Promise<void>((resolve) => {
          this.#submitNext = resolve;
        });
      }
      const before = (back: readonly number[]) => this.back(place, back).map((at) => this.futures[at]!);
      const waitFor = before(after);
      const one = work.withOptions({
        ...{ retries, retryDelaySeconds: 0, crashRetries, priority, waitFor },
        ...{ persistResult: isKept, resultStore: slowStore },
      });
      this.futures.push(one.submit(place, ...before(inputs)));
    }
  }

  async #open(): Promise<RunnerSession> {
    const owner = { flowRunId: "flow-run", flowName: "faulty" };
    const dispatcher = await Dispatcher.start(this.cluster, { noWorkersTimeoutSeconds: 1_000_000, owner });
    this.#resolveOpened(dispatcher);
    const { cluster, openCalls } = this;
    return {
      submit: (call) => {
        this.#watch(call);
        openCalls.add(call);
        dispatcher.submit(call);
        if (!openCalls.has(call)) cluster.faults.push(`call ${call.number} settled within its submit`);
      },
      foresee: (call, upstream) => dispatcher.foresee(call, upstream),
      cancel: (call) => {
        this.#watch(call);
        const willSettle = dispatcher.cancel(call);
        if (willSettle) openCalls.add(call);
        return willSettle;
      },
      survey: async () => surveyOf(new Map([[dispatcher, await dispatcher.survey()]]), () => undefined),
      close: async () => {}, // The test does, when it has seen that nothing is sent any more.
    };
  }

  /** Its run would not mind to be told twice. */
  #watch(call: Call): void {
    if (Object.hasOwn(call, "settle")) return;
    const settle = call.settle.bind(call);
    call.settle = (outcome) => {
      if (!this.openCalls.delete(call))
        this.cluster.faults.push(`call ${call.number} settled twice, or unasked`);
      settle(outcome);
    };
  }

  // ---- What the calls do, in workers -----------------------------------------------------------------------------

  next(inWorker: CallInWorker, args: readonly unknown[]): CallStep {
    const { call, taskRunId, asked, answers } = inWorker;
    const [place, ...inputs] = args as [number, ...number[]];
    const plan = this.#plans[place]!;
    const { nested } = plan;
    if (nested !== undefined && isNested(taskRunId)) {
      return this.#dies(nested) ?? { type: "returns", value: nestedValueAt(place) };
    }
    // A nested one may: the call that makes it can be back, and make it again, before its crash has been told.
    if (this.deathsOf(taskRunId, call.attempt).alone > plan.crashRetries)
      this.cluster.faults.push(`call ${place} runs again though it was blamed too often`);
    if (!this.upstreamOf(place).every((at) => this.#returned.has(at)))
      this.cluster.faults.push(`call ${place} began before what it waits for had returned`);
    if (nested !== undefined && asked === 0) {
      const request = nestedRequest(`${taskRunId}.${call.attempt}`, place, nested);
      return { type: "asks", request, isAwaited: nested.isAwaited };
    }
    const death = this.#dies(plan);
    if (death !== undefined) return death;
    if (call.attempt <= plan.failures) return { type: "throws", error: new Error("as planned") };
    if (nested?.isAwaited === true) {
      const { kind, payload } = answers.get(1)!;
      if (kind !== "returned") {
        this.#checkNested(place, `${taskRunId}.${call.attempt}-0`, kind, nested);
        return { type: "throws", error: new Error("of the nested run") };
      }
      inputs.push(decode(payload) as number);
    }
    this.#returned.add(place);
    return { type: "returns", value: valueAt(place, inputs) };
  }

  onDeath({ taskRunId, call }: CallInWorker, wasAlone: boolean): void {
    const deaths = this.deathsOf(taskRunId, call.attempt);
    if (wasAlone) deaths.alone++;
    else deaths.beside++;
  }

  #dies(plan: RunPlan | NestedPlan): CallStep | undefined {
    const left = this.#deathsLeft.get(plan) ?? plan.deaths;
    this.#deathsLeft.set(plan, left - 1);
    return left > 0 ? { type: "dies", with: plan.death } : undefined;
  }

  #checkNested(place: number, taskRunId: string, kind: string, { crashRetries }: NestedPlan): void {
    this.failedNested.add(place);
    if (kind !== "crashed" || !mayCrash(this.deathsOf(taskRunId, 1), crashRetries))
      this.cluster.faults.push(`the nested run of ${place} ended ${kind}`);
  }
}

/** Has it died so often that it may be given up? See blame.ts. */
export function mayCrash({ alone, beside }: Deaths, crashRetries: number): boolean {
  return alone > crashRetries || beside > 3 * (crashRetries + 1);
}

/** The scope of such a run is an attempt of another. */
const isNested = (taskRunId: string) => /\.\d+-0$/.test(taskRunId);

function nestedRequest(scopeId: string, place: number, { crashRetries }: NestedPlan): Request {
  const sample = sampleBatch("nested");
  const contexts = sample.contexts.map((context) => ({ ...context, scopeId }));
  const { bytes: args } = encodeWithInputs([place], "arguments");
  const calls = sample.calls.map((call) => ({ ...call, number: 0, attempt: 1, args, inputs: [] }));
  const batch = { ...sample, contexts, calls };
  return { type: "submit", crashRetries, priority: 0, queue: "", batch };
}
