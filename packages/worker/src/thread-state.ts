/**
 * What a thread says of itself in shared memory: it must be readable while the thread computes, and after it has died.
 * Integers: how many calls it has started; how many of those await something; the number, counted from 0 in order of
 * start, of the call whose time is over next. A double: when that is, on `monotonicMs`; 0 for never.
 */
export class ThreadState {
  readonly buffer: SharedArrayBuffer;
  readonly #counts: Int32Array;
  readonly #times: Float64Array;

  constructor(buffer = new SharedArrayBuffer(24)) {
    this.buffer = buffer;
    this.#times = new Float64Array(buffer, 0, 1);
    this.#counts = new Int32Array(buffer, 8, 4);
  }

  get started(): number {
    return Atomics.load(this.#counts, 0);
  }

  /** Another call begins. @returns its number */
  start(): number {
    return Atomics.add(this.#counts, 0, 1);
  }

  get awaiting(): number {
    return Atomics.load(this.#counts, 1);
  }

  setAwaiting(calls: number): void {
    Atomics.store(this.#counts, 1, calls);
  }

  /** How many messages the thread has dealt with: one that computes deals with none. */
  get heard(): number {
    return Atomics.load(this.#counts, 3);
  }

  hasHeard(): void {
    Atomics.add(this.#counts, 3, 1);
  }

  /** The call whose time is over next, if one has a limit. */
  get limit(): { readonly call: number; readonly endsAt: number } | undefined {
    const endsAt = this.#times[0] as number;
    return endsAt === 0 ? undefined : { call: Atomics.load(this.#counts, 2), endsAt };
  }

  setLimit(call: number, endsAt: number): void {
    this.#times[0] = 0;
    Atomics.store(this.#counts, 2, call);
    this.#times[0] = endsAt;
  }
}

/** Milliseconds on a clock that never jumps, and that is the same in all threads (`performance.now()` is not). */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
