import { MillraceError } from "./millrace-error.ts";

/** Errors of values that travel, and of what is kept of them elsewhere. */

/** A value cannot travel to another thread or process, or would arrive as something else. */
export class NotEncodableError extends MillraceError {
  readonly code = "ERR_NOT_ENCODABLE";
  /** Where in the value the offending part is, such as `arguments[0].rows[3].callback`. */
  readonly path: string;
  constructor(path: string, got: string, advice: string, options?: ErrorOptions) {
    super(
      `Expected a value that can be sent to another process at \`${path}\`, got ${got}. ${advice}`,
      options,
    );
    this.path = path;
  }
}

/** Bytes that should hold a value or a message do not. */
export class DecodeError extends MillraceError {
  readonly code = "ERR_DECODE";
  constructor(what: string, got: string, options?: ErrorOptions) {
    super(`Expected ${what}, got ${got}.`, options);
  }
}

/** The value of a run is not in this process: it is large, and nobody has asked for it. */
export class ValueNotLoadedError extends MillraceError {
  readonly code = "ERR_VALUE_NOT_LOADED";
  constructor(sizeBytes: number) {
    super(
      `Expected a value that is in this process, got one of ${sizeBytes} bytes that is kept where the task ran, since ` +
        `nobody has asked for it. Await the future, its result() or its wait() before you look at the data of its state.`,
    );
  }
}

/** A large value was kept outside this process and is not there any more, and it could not be made again. */
export class ValueLostError extends MillraceError {
  readonly code = "ERR_VALUE_LOST";
  constructor(sizeBytes: number, why: string, options?: ErrorOptions) {
    super(
      `Expected a value of ${sizeBytes} bytes where it was kept, but it is gone, and it cannot be made again: ${why}. ` +
        `Ask for large values before their flow run ends, and see that Redis keeps its data.`,
      options,
    );
  }
}
