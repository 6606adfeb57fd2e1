/**
 * The catalogue of Millrace's errors: every class, by subject. Each message says what was expected, what came, and what to
 * do. docs/errors.md lists them; a test keeps it complete.
 */
export * from "./cluster-errors.ts";
export * from "./definition-errors.ts";
export * from "./map-errors.ts";
export { MillraceError } from "./millrace-error.ts";
export * from "./module-errors.ts";
export * from "./run-errors.ts";
export * from "./sharing-errors.ts";
export { describe } from "./shown-value.ts";
export * from "./value-errors.ts";
