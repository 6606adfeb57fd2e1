import { SelfDependencyError, UnfinishedRunError } from "../errors/errors.ts";
import { State, type StateType } from "../futures/state.ts";
import { EncodedValue } from "../values/codec.ts";
import { DistantValue } from "../values/distant-value.ts";
import { activeContext } from "./context.ts";
import { runError } from "./run-error.ts";
import type { FinalKind } from "./tally.ts";

/** Told once when a run is final. */
export interface FinalListener {
  runIsFinal(run: RunRecord): void;
}

/**
 * What is known of a task run, and what its future shows. A million of these exist at once, so the record is compact:
 * no promise until somebody waits, no State until somebody looks. (A plain engine with a UUID, a promise and three
 * states per run took 8 to 12 µs and 2.3 KB a task; a compact one 1.2 to 1.7 µs and 0.7 KB.)
 */
export abstract class RunRecord {
  protected type: StateType = "PENDING";
  protected stateName: string | undefined;
  protected message = "";
  protected timestamp = Date.now();
  /** The value, perhaps still encoded, of a completed run; the error of one that failed. */
  protected payload: unknown;
  /** Mostly there is one, or none. */
  private listeners: FinalListener | FinalListener[] | undefined;

  abstract get taskRunId(): string;
  /** Counts the run out, once it is final and everybody knows. */
  protected abstract leave(): void;

  protected enter(type: StateType, name?: string, message = ""): void {
    this.type = type;
    this.stateName = name;
    this.message = message;
    this.timestamp = Math.max(this.timestamp, Date.now());
  }

  isFinal(): boolean {
    return (
      this.type !== "RUNNING" &&
      this.type !== "SCHEDULED" &&
      (this.type !== "PENDING" || this.stateName === "NotReady")
    );
  }

  /** How the run counts in its flow's state; undefined while it is not final. */
  finalKind(): FinalKind | undefined {
    if (!this.isFinal()) return undefined;
    if (this.type === "COMPLETED") return "completed";
    if (this.type === "CANCELLED") return "cancelled";
    return this.type === "PENDING" ? "notReady" : "failed";
  }

  state(): State {
    const { distant } = this;
    const state = new State(this.type, {
      ...(this.stateName !== undefined && { name: this.stateName }),
      message: this.message,
      data:
        distant !== undefined ? undefined : this.type === "COMPLETED" ? this.valueOrError() : this.payload,
      timestamp: this.timestamp,
      runId: this.taskRunId,
    });
    if (distant !== undefined)
      Object.defineProperty(state, "data", { get: () => distant.value(), enumerable: true });
    return state;
  }

  /** The run's value when it is not in this process. */
  get distant(): DistantValue | undefined {
    return this.payload instanceof DistantValue && !this.payload.isHere ? this.payload : undefined;
  }

  /** What a call that depends on this run gets for it: the value, or the error of a failure that it allows. */
  input(): unknown {
    return this.type === "COMPLETED" ? this.value() : this.error();
  }

  /** The same as it came, perhaps encoded: for a runner that passes it on. */
  rawInput(): unknown {
    return this.type === "COMPLETED" ? this.payload : this.error();
  }

  /** Does the run let another start that needs it? */
  lets(isFailureAllowed: boolean): boolean {
    return this.type === "COMPLETED" || (isFailureAllowed && this.type === "FAILED");
  }

  /**
   * The value of a completed run. @throws DecodeError when its bytes hold a type that is not registered here,
   * ValueNotLoadedError
   */
  value(): unknown {
    const { payload } = this;
    return payload instanceof EncodedValue || payload instanceof DistantValue ? payload.value() : payload;
  }

  /** What a run that is final has to give. */
  valueOrThrow(): unknown {
    if (this.type !== "COMPLETED") throw this.error();
    return this.value();
  }

  /** For a state, which somebody may look at while many runs are told that one is final: this must not throw. */
  private valueOrError(): unknown {
    try {
      return this.value();
    } catch (error) {
      return error;
    }
  }

  onFinal(listener: FinalListener): void {
    if (this.listeners === undefined) this.listeners = listener;
    else if (Array.isArray(this.listeners)) this.listeners.push(listener);
    else this.listeners = [this.listeners, listener];
  }

  result(): Promise<unknown> {
    const result = new Promise((resolve, reject) => {
      const give = () => {
        try {
          resolve(this.valueOrThrow());
        } catch (error) {
          reject(error);
        }
      };
      const settle = () => {
        if (this.type !== "COMPLETED") reject(this.error());
        else if (this.distant === undefined) give();
        else this.distant.load().then(give, reject);
      };
      if (this.isFinal()) settle();
      else if (this.isAwaitedInside()) reject(new SelfDependencyError(this.taskRunId));
      else this.onFinal({ runIsFinal: settle });
    });
    result.catch(ignore); // Nobody need await it: the failure counts in the flow's state.
    return result;
  }

  wait(timeoutSeconds?: number): Promise<State | undefined> {
    return this.isFinal() && this.distant === undefined
      ? Promise.resolve(this.state())
      : this.waitAndLoad(timeoutSeconds);
  }

  private async waitAndLoad(timeoutSeconds: number | undefined): Promise<State | undefined> {
    if (!(await this.final(timeoutSeconds))) return undefined;
    await this.distant?.load().catch(ignore); // The state says it to whoever looks at its data.
    return this.state();
  }

  /** Resolves when the run is final, with its value wherever it is; or, to false, when the time is over. */
  final(timeoutSeconds?: number): Promise<boolean> {
    if (this.isFinal()) return Promise.resolve(true);
    if (this.isAwaitedInside()) return Promise.reject(new SelfDependencyError(this.taskRunId));
    return new Promise((resolve) => {
      const timer =
        timeoutSeconds === undefined ? undefined : setTimeout(() => resolve(false), timeoutSeconds * 1000);
      this.onFinal({
        runIsFinal: () => {
          clearTimeout(timer);
          resolve(true);
        },
      });
    });
  }

  /** Is the code that asks part of this run? Then the run would wait for itself. */
  private isAwaitedInside(): boolean {
    return activeContext()?.isWithin(this) ?? false;
  }

  /** What to throw at whoever asks for the value of a run that has none. */
  error(): unknown {
    if (this.type === "PENDING")
      return new UnfinishedRunError(this.taskRunId, this.stateName ?? "", this.message);
    return runError(this.type, this.payload, this.message, `Task run ${this.taskRunId}`);
  }

  /** Tells those that wait that the run is final. */
  protected announce(): void {
    announcing.push(this);
    if (isAnnouncing) return;
    isAnnouncing = true;
    try {
      for (let next = announcing.pop(); next !== undefined; next = announcing.pop()) next.tellListeners();
    } finally {
      isAnnouncing = false;
    }
  }

  private tellListeners(): void {
    const { listeners } = this;
    this.listeners = undefined;
    if (Array.isArray(listeners)) for (const listener of listeners) listener.runIsFinal(this);
    else listeners?.runIsFinal(this);
    this.leave();
  }
}

/**
 * Runs that are final and whose listeners are not told yet. A list and not recursion: a failure at the head of a chain
 * makes every run behind it NotReady, and a chain of 100,000 would overflow the stack.
 */
const announcing: RunRecord[] = [];
let isAnnouncing = false;

function ignore(): void {}
