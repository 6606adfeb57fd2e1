import { ValueNotLoadedError } from "../errors/errors.ts";
import { EncodedValue } from "./codec.ts";

/**
 * The value of a run that is not in this process: too large to be sent where nobody may ask for it. A runner that knows where it
 * is passes it on without it, and it is loaded when somebody here asks. Once loaded, it stays.
 */
export abstract class DistantValue {
  #here: EncodedValue | undefined;
  #loading: Promise<void> | undefined;
  #failure: unknown;

  abstract readonly sizeBytes: number;
  /** Gets the encoded value. @throws what says why it cannot be had */
  protected abstract fetch(): Promise<Uint8Array>;

  get isHere(): boolean {
    return this.#here !== undefined;
  }

  /** @throws what says why it cannot be had */
  load(): Promise<void> {
    this.#loading ??= this.fetch().then(
      (bytes) => {
        this.#here = new EncodedValue(bytes);
      },
      (error: unknown) => {
        this.#loading = undefined; // It may be had later.
        this.#failure = error;
        throw error;
      },
    );
    return this.#loading;
  }

  /** @throws ValueNotLoadedError, or why it could not be loaded */
  get encoded(): EncodedValue {
    if (this.#here !== undefined) return this.#here;
    throw this.#failure ?? new ValueNotLoadedError(this.sizeBytes);
  }

  /** @throws ValueNotLoadedError, DecodeError, or why it could not be loaded */
  value(): unknown {
    return this.encoded.value();
  }
}
