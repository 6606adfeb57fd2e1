import { MillraceError } from "./millrace-error.ts";
import { describe } from "./shown-value.ts";

/** Errors of what runs share: limits, and the stores of results. */

/** More slots were asked for than the limit has, so that they would never be there. */
export class LimitExceededError extends MillraceError {
  readonly code = "ERR_LIMIT_EXCEEDED";
  constructor(name: string, slots: number, limit: number) {
    super(
      `Expected at most ${limit} slots of limit "${name}" to be asked for at once, since it has no more; got ${slots}. ` +
        `Raise the limit, or ask for fewer.`,
    );
  }
}

/** Slots were not free in time. */
export class LimitTimeoutError extends MillraceError {
  readonly code = "ERR_LIMIT_TIMEOUT";
  constructor(names: readonly string[], timeoutSeconds: number) {
    super(
      `Expected slots of ${names.map((name) => `"${name}"`).join(", ")} to be free within ${timeoutSeconds} s, but ` +
        `others held them. Raise timeoutSeconds or the limit.`,
    );
  }
}

/** A result store could not be read or written. `cause` is what the file system said. */
export class ResultStoreError extends MillraceError {
  readonly code = "ERR_RESULT_STORE";
  constructor(place: string, what: "read" | "written", cause: unknown) {
    const why = cause instanceof Error ? cause.message : describe(cause);
    super(
      `Expected the result store ${place} to be ${what}, got ${why}. Make it readable and writable for this process, ` +
        `or choose another with MILLRACE_HOME or the \`resultStore\` option.`,
      { cause },
    );
  }
}
