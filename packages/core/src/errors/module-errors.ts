import { fileURLToPath } from "node:url";
import { MillraceError } from "./millrace-error.ts";
import { describe, describeThrown } from "./shown-value.ts";

/** Errors of modules that a worker loads to find a task. */

/** A worker loaded the module that a call names, and the task was not in it. */
export class TaskNotFoundError extends MillraceError {
  readonly code = "ERR_TASK_NOT_FOUND";
  constructor(taskName: string, module: string, known: readonly string[]) {
    const found =
      known.length > 0 ? `the tasks ${known.map((name) => `"${name}"`).join(", ")}` : "no task at all";
    super(
      `Expected module ${module} to define a task named "${taskName}", found ${found}. Define tasks at the top level ` +
        `of their module, above any flow that is called there; for bundled or generated code pass task({ module }).`,
    );
  }
}

/** A module uses another copy of Millrace than the worker that loads it. */
export class SeveralCopiesError extends MillraceError {
  readonly code = "ERR_SEVERAL_COPIES";
  constructor(workers: string, modules: string) {
    super(
      `Expected a worker and the modules that it loads to use one copy of Millrace, got the worker's at ${placeOf(workers)} and the ` +
        `module's at ${placeOf(modules)}. Start the project's own, with \`npx millrace worker\` in the project.`,
    );
  }
}

/** The package, of one of its files. */
function placeOf(url: string): string {
  return fileURLToPath(new URL("..", url));
}

/** The module that a call names lies outside the worker's project root, or cannot be a module path. */
export class ModulePathError extends MillraceError {
  readonly code = "ERR_MODULE_PATH";
  constructor(module: string, reason: string) {
    super(
      `Expected the path of a module inside the worker's project root, got ${describe(module)}: ${reason}. Start the ` +
        `worker with --root at the project's root, and keep task modules inside it.`,
    );
  }
}

/** The module that a call names threw while it was imported, or could not be found. `cause` is what it threw. */
export class ModuleImportError extends MillraceError {
  readonly code = "ERR_MODULE_IMPORT";
  constructor(module: string, cause: unknown) {
    super(
      `Expected module ${module} to load in a worker, but importing it failed with ${describeThrown(cause)}. Mend the module, or see ` +
        `that the worker has the same files and dependencies.`,
      { cause },
    );
  }
}
