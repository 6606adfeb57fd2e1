import { MillraceError } from "./millrace-error.ts";
import { describe } from "./shown-value.ts";

/** Errors in how a flow or a task is defined, and in the options and parameters that it is given. */

/** A task or a flow was defined without a name, from a function that has none. */
export class UnnamedError extends MillraceError {
  readonly code = "ERR_UNNAMED";
  constructor(kind: "task" | "flow") {
    super(
      `Expected a name for this ${kind}, got an unnamed function. A function written inline has no name of its own: ` +
        `write ${kind}({ name: "my-${kind}" }, fn), or pass a function that has a name.`,
    );
  }
}

/** Two different tasks of one module share a name, so a worker could not tell them apart. */
export class DuplicateTaskNameError extends MillraceError {
  readonly code = "ERR_DUPLICATE_TASK_NAME";
  constructor(taskName: string, module: string, firstPlace: string, secondPlace: string) {
    super(
      `Expected the tasks of ${module} to have different names, got two named "${taskName}" (at ${firstPlace} and at ` +
        `${secondPlace}). Rename one with task({ name }, fn).`,
    );
  }
}

/** An option is unknown, of the wrong type, or out of its range. */
export class InvalidOptionError extends MillraceError {
  readonly code = "ERR_INVALID_OPTION";
  constructor(option: string, expected: string, got: unknown) {
    super(`Expected \`${option}\` to be ${expected}, got ${describe(got)}.`);
  }
}

/** An option that nothing reads, most often a typing mistake. */
export class UnknownOptionError extends MillraceError {
  readonly code = "ERR_UNKNOWN_OPTION";
  constructor(where: string, option: string, known: readonly string[]) {
    super(`Expected the options of ${where} to be among ${known.join(", ")}; got \`${option}\`.`);
  }
}

/** The parameters of a flow run do not fit the flow's schema. */
export class ParameterError extends MillraceError {
  readonly code = "ERR_PARAMETER";
  constructor(flowName: string, issues: readonly string[]) {
    super(`Expected parameters that fit the schema of flow "${flowName}"; got ${issues.join("; ")}.`);
  }
}
