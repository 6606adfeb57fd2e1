import {
  type Batch,
  type CallValue,
  type GivenValue,
  givenReference,
  INLINE_LIMIT_BYTES,
  inSharedMemory,
  isGiven,
  type PlacesValues,
  resultId,
  type ValueReference,
} from "@millrace/broker";
import { type EncodedValue, WholeInput } from "@millrace/core/internal";

/** The large values that one running call gives to its calls: each goes up once, beside the first request that names it. */
export class NestedValues implements PlacesValues {
  /** By what they are the form of. */
  readonly #byOwner = new WeakMap<object, ValueReference>();
  /** Those that are to go up again when they are given again. */
  readonly #lost = new Set<string>();
  readonly #onUnneeded: (id: string) => void;
  readonly #collected: FinalizationRegistry<string>;
  #outgoing: GivenValue[] = [];
  #count = 0;

  /** @param onUnneeded hears which value is given to no further call */
  constructor(onUnneeded: (id: string) => void) {
    this.#onUnneeded = onUnneeded;
    this.#collected = new FinalizationRegistry(onUnneeded);
  }

  place(owner: object, bytes: Uint8Array): CallValue {
    if (bytes.length <= INLINE_LIMIT_BYTES) return bytes;
    const known = this.#byOwner.get(owner);
    if (known !== undefined && !this.#lost.has(known.id)) return known;
    const reference = givenReference(String(this.#count++), bytes.length);
    this.#byOwner.set(owner, reference);
    this.#outgoing.push({ id: reference.id, value: inSharedMemory(bytes) });
    if (owner instanceof WholeInput) owner.onUnneeded(() => this.#onUnneeded(reference.id));
    return reference;
  }

  /** What comes from a call of this call is here as bytes. */
  forward(): undefined {}

  /**
   * A call of this call, which this request submitted, has returned the value: it is kept already, until nobody here has it any
   * more. A call that makes ten thousand of them would else have all in Redis until it ends.
   */
  returned(value: EncodedValue, request: number): void {
    const reference = givenReference(resultId(request), value.bytes.length);
    this.#byOwner.set(value, reference);
    this.#collected.register(value, reference.id);
  }

  /** Those that have not gone up yet. */
  takeOutgoing(): readonly GivenValue[] {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    return outgoing;
  }

  /** One of those that the call was given is gone. */
  lose({ calls }: Batch): void {
    for (const { argsReference, inputs } of calls)
      for (const value of [argsReference, ...inputs]) if (isGiven(value)) this.#lost.add(value.id);
  }
}
