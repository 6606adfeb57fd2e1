import { type Batch, type BatchCall, isSequence, type RawOutcome } from "@millrace/broker";

/** What calls of a chunk have returned, for those of it that wait for them. */
export class ChunkValues {
  /** By sequence. Undefined: it has not ended; null: it has not returned. */
  readonly #values = new Map<number, Uint8Array | null | undefined>();

  /** Undefined: no call of the chunk waits for another. */
  static of({ calls }: Batch): ChunkValues | undefined {
    let values: ChunkValues | undefined;
    for (const { inputs, after } of calls) {
      if (inputs.length + after.length === 0) continue;
      for (const sequence of [...inputs.filter(isSequence), ...after]) {
        values ??= new ChunkValues();
        values.#values.set(sequence, undefined);
      }
    }
    return values;
  }

  ended(sequence: number, { kind, payload }: RawOutcome): void {
    if (!this.#values.has(sequence)) return;
    this.#values.set(sequence, kind === "returned" ? payload : null);
  }

  /** Has everything ended that the call waits for? */
  isDecided({ inputs, after }: BatchCall): boolean {
    return ![...inputs.filter(isSequence), ...after].some(
      (sequence) => this.#values.get(sequence) === undefined,
    );
  }

  /** The inputs of a call that is decided; undefined when one that it waits for has not returned. */
  inputsOf({ inputs, after }: BatchCall): readonly Uint8Array[] | undefined {
    if (after.some((sequence) => this.#values.get(sequence) === null)) return undefined;
    const values = inputs.map((input) => (isSequence(input) ? this.#values.get(input) : input));
    return values.includes(null) ? undefined : (values as readonly Uint8Array[]);
  }
}
