/**
 * What a thread says of itself in shared memory: it must be readable while the thread computes, and after it has died.
 * Integers: how many calls have had their turn; how many await something; the number, counted from 0 in order of turn, of
 * the call whose time is over next; how many messages were heard; the number of the call that has begun last. A double: when that is, on `monotonicMs`; 0 for never. A byte for each of
 * the last calls, by its number: 1 once somebody has claimed it.
 */
export class ThreadState {
  readonly buffer: SharedArrayBuffer;
  readonly #counts: Int32Array;
  readonly #times: Float64Array;

  readonly #claims: Uint8Array;

  constructor(buffer = new SharedArrayBuffer(28 + CLAIMS)) {
    this.buffer = buffer;
    this.#times = new Float64Array(buffer, 0, 1);
    this.#counts = new Int32Array(buffer, 8, 5);
    this.#claims = new Uint8Array(buffer, 28, CLAIMS);
  }

  get started(): number {
    return Atomics.load(this.#counts, 0);
  }

  /** Another call has its turn. @returns its number */
  start(): number {
    return Atomics.add(this.#counts, 0, 1);
  }

  /** The call begins, at its turn or, when it was put off, later. */
  begin(number: number): void {
    Atomics.store(this.#counts, 4, number);
  }

  get lastBegun(): number {
    return Atomics.load(this.#counts, 4);
  }

  /** The thread gets another call: nobody has claimed it. */
  offer(number: number): void {
    Atomics.store(this.#claims, number % CLAIMS, 0);
  }

  /**
   * Claims a call that the thread has got: for the thread, which is about to start it, or from outside, to take it back.
   * True for whoever comes first.
   */
  claim(number: number): boolean {
    return Atomics.exchange(this.#claims, number % CLAIMS, 1) === 0;
  }

  isClaimed(number: number): boolean {
    return Atomics.load(this.#claims, number % CLAIMS) === 1;
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
    const call = Atomics.load(this.#counts, 2);
    // Another time by now: the number may be of another call. The thread writes 0 before it changes the number.
    return endsAt === 0 || this.#times[0] !== endsAt ? undefined : { call, endsAt };
  }

  setLimit(call: number, endsAt: number): void {
    this.#times[0] = 0;
    Atomics.store(this.#counts, 2, call);
    this.#times[0] = endsAt;
  }
}

/**
 * More calls than a thread ever has before it: a thread gets more while it has less than AHEAD_MS, then CHUNK_MS more, and a
 * call counts for LEAST_CALL_MS, so that there are 6,000. One more than there are claims would never be run.
 */
export const CLAIMS = 16_384;

/** Milliseconds on a clock that never jumps, and that is the same in all threads (`performance.now()` is not). */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
