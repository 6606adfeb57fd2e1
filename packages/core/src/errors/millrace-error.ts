/**
 * What every error of Millrace is: its class has a stable `code`. Match by `code` where an error may have crossed a
 * process, since `instanceof` needs the same copy of this module on both sides.
 */
export abstract class MillraceError extends Error {
  /** Stable identifier of the kind of error, such as `ERR_TASK_NOT_FOUND`. */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}
