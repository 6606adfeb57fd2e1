import { encode } from "./codec.ts";
import { Input } from "./input.ts";

/**
 * An argument that `map` gives whole to every call. It stands for its value, as a future does, so that a runner which
 * sends calls elsewhere encodes it once for all of them. It knows when the last of the runs that need it is final.
 */
export class WholeInput extends Input {
  readonly value: unknown;
  readonly #place: number;
  #bytes: Uint8Array | undefined;
  #runs = 0;
  #onUnneeded: (() => void) | undefined;

  /** @param place of the argument, for errors */
  constructor(value: unknown, place: number) {
    super();
    this.value = value;
    this.#place = place;
  }

  /** @param keep makes what is kept of the bytes, the first time @throws NotEncodableError */
  encoded(keep: (bytes: Uint8Array) => Uint8Array): Uint8Array {
    this.#bytes ??= keep(encode(this.value, `arguments[${this.#place}]`));
    return this.#bytes;
  }

  /** Calls `listener` when no run needs it any more. */
  onUnneeded(listener: () => void): void {
    const before = this.#onUnneeded;
    this.#onUnneeded = () => {
      before?.();
      listener();
    };
  }

  /** Counts a run that needs it in. */
  needed(): void {
    this.#runs++;
  }

  /** Counts it out: it is final. */
  unneeded(): void {
    if (--this.#runs > 0) return;
    this.#bytes = undefined;
    const listener = this.#onUnneeded;
    this.#onUnneeded = undefined;
    listener?.();
  }
}
