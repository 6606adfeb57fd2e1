/**
 * The catalogue of Millrace's errors. Every class has a stable `code`; match by `code` where an error may have
 * crossed a process, since `instanceof` needs the same copy of this module on both sides.
 *
 * Each message says what was expected, what came, and what to do. docs/errors.md lists them; a test keeps it complete.
 */
export abstract class MillraceError extends Error {
  /** Stable identifier of the kind of error, such as `ERR_TASK_NOT_FOUND`. */
  abstract readonly code: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** How a value is shown in a message: short, with its type, never a whole object. */
export function describe(value: unknown): string {
  if (typeof value === "string")
    return `${JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)} (string)`;
  if (value === null || value === undefined) return String(value);
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (typeof value === "object") return `an instance of ${value.constructor?.name ?? "Object"}`;
  return `${String(value)} (${typeof value})`;
}

// ---- Definitions and options -------------------------------------------------------------------------------------

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

// ---- Runs --------------------------------------------------------------------------------------------------------

/** A task was submitted to a flow run that has already ended. */
export class FlowRunEndedError extends MillraceError {
  readonly code = "ERR_FLOW_RUN_ENDED";
  constructor(taskName: string, flowRunId: string) {
    super(
      `Expected flow run ${flowRunId} to be running when task "${taskName}" was submitted, but it has ended. ` +
        `Submit tasks before the flow function returns, and await work started in callbacks.`,
    );
  }
}

/** `submit` or `map` was called where there is no flow run to belong to. */
export class MissingContextError extends MillraceError {
  readonly code = "ERR_MISSING_CONTEXT";
  constructor(what: string) {
    super(
      `Expected ${what} to be called inside a flow run or a task run, but there is none. Call it from a flow's or a ` +
        `task's function; a task called as a plain function works anywhere.`,
    );
  }
}

/** The result of a run was asked for, and the run never started because something that it needs did not complete. */
export class UnfinishedRunError extends MillraceError {
  readonly code = "ERR_UNFINISHED_RUN";
  constructor(runId: string, stateName: string, message: string) {
    super(`Expected run ${runId} to have a result, but it ended ${stateName}. ${message}`);
  }
}

/** The result of a run that failed without an error of its own, such as one that returned a Failed state. */
export class FailedRunError extends MillraceError {
  readonly code = "ERR_FAILED_RUN";
}

/** The result of a run that crashed: it ended for a reason outside the user's function, such as a dead process. */
export class CrashedRunError extends MillraceError {
  readonly code = "ERR_CRASHED_RUN";
}

/** The result of a run that was cancelled. */
export class CancelledRunError extends MillraceError {
  readonly code = "ERR_CANCELLED_RUN";
}

/** A run took longer than its `timeoutSeconds`. It is the data of a FAILED state named TimedOut. */
export class RunTimeoutError extends MillraceError {
  readonly code = "ERR_RUN_TIMEOUT";
  constructor(kind: "Task run" | "Flow run", timeoutSeconds: number) {
    super(`${kind} exceeded timeout of ${timeoutSeconds} seconds`);
  }
}

/** A task run waits for itself: its own future is among the arguments of a task that it calls, or it awaits it. */
export class SelfDependencyError extends MillraceError {
  readonly code = "ERR_SELF_DEPENDENCY";
  constructor(taskRunId: string) {
    super(
      `Expected task run ${taskRunId} to wait for other runs only, but it needs its own result, which would never ` +
        `come. Do not use a task's future inside the task itself.`,
    );
  }
}

/** Task runs that nobody holds and that nothing will end: the flow run would wait for ever. A bug of Millrace. */
export class LostRunError extends MillraceError {
  readonly code = "ERR_LOST_RUN";
  constructor(taskRunIds: readonly string[]) {
    super(
      `Expected every task run that is not final to have a holder or a reason to wait, got none for ` +
        `${taskRunIds.join(", ")}. This is a bug of Millrace: please report it, with the lines of the log before this one.`,
    );
  }
}

/** Runs that were waited for were not final in time. */
export class WaitTimeoutError extends MillraceError {
  readonly code = "ERR_WAIT_TIMEOUT";
  constructor(unfinished: number, total: number) {
    super(
      `Expected all futures to be final in time, got ${unfinished} (of ${total}) futures unfinished. Raise ` +
        `timeoutSeconds, or go on with those that are done: wait() tells them apart.`,
    );
  }
}

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

// ---- Limits and results -------------------------------------------------------------------------------------------

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

// ---- Values ------------------------------------------------------------------------------------------------------

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

// ---- Modules -----------------------------------------------------------------------------------------------------

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
    const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : describe(cause);
    super(
      `Expected module ${module} to load in a worker, but importing it failed with ${why}. Mend the module, or see ` +
        `that the worker has the same files and dependencies.`,
      { cause },
    );
  }
}

// ---- Broker and workers ------------------------------------------------------------------------------------------

/** Redis does not answer. `url` is shown without its password. */
export class BrokerUnavailableError extends MillraceError {
  readonly code = "ERR_BROKER_UNAVAILABLE";
  constructor(address: string, reason: string, options?: ErrorOptions) {
    super(
      `Expected a Redis server that answers at ${address}, got ${reason}. Start it, or mend the URL in ` +
        `MILLRACE_REDIS_URL or in the \`redis\` option.`,
      options,
    );
  }
}

/** The Redis server answers, but Millrace cannot rely on it: too old, or allowed to drop keys. */
export class RedisUnsuitableError extends MillraceError {
  readonly code = "ERR_REDIS_UNSUITABLE";
}

/** A message in Redis is not signed with this process's secret; or it is signed, and this process has no secret. */
export class SignatureError extends MillraceError {
  readonly code = "ERR_SIGNATURE";
  constructor(key: string, got: "unsigned" | "wrongly-signed" | "signed") {
    const [expected, what] = {
      unsigned: ["signed with the secret of this process", "one that is not signed"],
      "wrongly-signed": [
        "signed with the secret of this process",
        "one that was signed with another, or for another place",
      ],
      signed: ["without a signature, since this process has no secret", "one that is signed"],
    }[got];
    super(
      `Expected a message ${expected}, got ${what}, at ${key}. Give flows and workers the same secret, in ` +
        `MILLRACE_SECRET; if they have it, somebody else writes to this Redis.`,
    );
  }
}

/** No `redis-server` or `valkey-server` could be started. */
export class RedisServerError extends MillraceError {
  readonly code = "ERR_REDIS_SERVER";
}

/** Calls wait, and no worker has served their queue for the set time. */
export class NoWorkersError extends MillraceError {
  readonly code = "ERR_NO_WORKERS";
  constructor({ queue, seconds, calls, command, elsewhere = [], strangers = 0 }: NoWorkersFacts) {
    const others = elsewhere
      .slice(0, MOST_QUEUES)
      .map((live) => `queue "${live.queue}" of namespace "${live.namespace}" (${live.workers})`);
    if (elsewhere.length > MOST_QUEUES) others.push(`${elsewhere.length - MOST_QUEUES} more queues`);
    const living =
      command === undefined
        ? ""
        : others.length > 0
          ? ` Workers serve ${others.join(", ")}.`
          : " No other queue has workers.";
    const start = command === undefined ? "Start one" : `Start one with \`${command}\` in the project's root`;
    const secret =
      strangers === 0
        ? ""
        : ` Of ${strangers} ${strangers === 1 ? "worker" : "workers"} there the secret is another, or one of both has none: give flows and ` +
          "workers the same, as MILLRACE_SECRET or the option `secret` here, as MILLRACE_SECRET or --secret-file there.";
    super(
      `Expected a worker for queue "${queue}" within ${seconds} s, got none; ${calls} ${calls === 1 ? "call waits" : "calls wait"} there.${secret}${living} ` +
        `${start}, or raise \`noWorkersTimeoutSeconds\`.`,
    );
  }
}

export interface NoWorkersFacts {
  readonly queue: string;
  readonly seconds: number;
  /** How many calls wait. */
  readonly calls: number;
  /** Workers of the queue that have another secret than the flow. Default: none. */
  readonly strangers?: number;
  /** What starts a worker; undefined where that is not for a command to do. */
  readonly command?: string;
  /** Queues that workers serve: one of them may be meant. */
  readonly elsewhere?: readonly {
    readonly namespace: string;
    readonly queue: string;
    readonly workers: number;
  }[];
}

/** So many queues are named: enough to see a typing mistake. */
const MOST_QUEUES = 5;

/** A worker process or thread did not become ready, or ended before it did. */
export class WorkerStartError extends MillraceError {
  readonly code = "ERR_WORKER_START";
}

/** A call was in a thread or a process that died, as often as `crashRetries` allows. */
export class WorkerLostError extends MillraceError {
  readonly code = "ERR_WORKER_LOST";
}
