import { ValueLostError } from "@millrace/core";
import type { Batch, BatchCall, CallInput } from "../wire/batch.ts";
import { type CallValue, isReference, type ValueReference } from "../wire/call-values.ts";
import type { GivenValue } from "../wire/report.ts";
import type { KeptValue } from "./kept-value.ts";
import type { Values } from "./values.ts";

/** What a call that runs in a worker refers to a value by that it gave: its own name for it, and no runner. */
export function givenReference(id: string, sizeBytes: number): ValueReference {
  return { runnerId: "", id, sizeBytes };
}

/** The name for what the call has returned that this request of it has submitted. */
export function resultId(request: number): string {
  return `result ${request}`;
}

/** The large values that one running call gives to its calls. Each came once, beside the first request that names it, or as what a call returned. */
export class GivenValues {
  readonly #values: Values;
  readonly #byId = new Map<string, Uint8Array | KeptValue>();

  constructor(values: Values) {
    this.#values = values;
  }

  add({ id, value }: GivenValue): void {
    this.#byId.set(id, isReference(value) ? this.#values.returned(value) : value);
  }

  /**
   * The batch with the values in it, or with where they are kept.
   *
   * @throws NotEncodableError when one of them was too large to be kept, ValueLostError when one did not come
   */
  filled(batch: Batch): Batch {
    return { ...batch, calls: batch.calls.map((call) => this.#filledCall(call)) };
  }

  /** It is given to no further call. */
  release(id: string): void {
    const value = this.#byId.get(id);
    this.#byId.delete(id);
    if (isReference(value)) value.release();
  }

  releaseAll(): void {
    for (const id of [...this.#byId.keys()]) this.release(id);
  }

  #filledCall(call: BatchCall): BatchCall {
    const args = this.#filledInput(call.argsReference ?? call.args);
    const placed = isReference(args) ? { argsReference: args } : { args, argsReference: undefined };
    return { ...call, ...placed, inputs: call.inputs.map((input) => this.#filledInput(input)) };
  }

  #filledInput<Input extends CallInput>(input: Input): Input | CallValue {
    if (!isGiven(input)) return input;
    const { id, sizeBytes } = input;
    const value = this.#byId.get(id);
    if (value !== undefined) return value;
    this.#values.checkFits("an argument", sizeBytes);
    throw new ValueLostError(sizeBytes, "it did not come with the call that it was given to");
  }
}

/** Does it stand for a value that the call gave which sends it? */
export function isGiven(input: CallInput | undefined): input is ValueReference {
  return isReference(input) && input.runnerId === "";
}
