import { MillraceError } from "./millrace-error.ts";

/** Errors in what `map` was given. */

/** `map` was given no iterable, so there is nothing to make calls from. */
export class NothingToMapError extends MillraceError {
  readonly code = "ERR_NOTHING_TO_MAP";
  constructor(taskName: string) {
    super(
      `Expected at least one iterable argument for "${taskName}".map(...), got none. Pass an array (or another ` +
        `iterable that is not a string), or use submit() for one call.`,
    );
  }
}

/** The iterables given to `map` have different lengths. */
export class MapLengthError extends MillraceError {
  readonly code = "ERR_MAP_LENGTH";
  constructor(taskName: string, lengths: readonly number[]) {
    super(
      `Expected the iterables given to "${taskName}".map(...) to have one length, got ${lengths.join(", ")}. Wrap an ` +
        `argument that every call should get whole in unmapped().`,
    );
  }
}

/** `map` was given an async iterable and more that it would take apart. */
export class MapStreamError extends MillraceError {
  readonly code = "ERR_MAP_STREAM";
  constructor(taskName: string, streams: number, iterables: number) {
    super(
      `Expected one async iterable as the only argument that "${taskName}".map(...) takes apart, got ${streams} async ` +
        `and ${iterables} other iterables. Wrap an argument that every call should get whole in unmapped(), or let one ` +
        `async generator go through them together.`,
    );
  }
}
