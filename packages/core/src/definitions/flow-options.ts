import type { StandardSchemaV1 } from "@standard-schema/spec";
import { isLimit, type Limit } from "../limits/limiter.ts";
import { type ResultStore, resultStoreRule } from "../results/result-store.ts";
import type { TaskRunner } from "../runners/task-runner.ts";
import type { FlowDefinition } from "./flow-definition.ts";
import { type FlowRunInfo, type Hook, hookList } from "./hooks.ts";
import * as rules from "./options.ts";
import { type WaitFor, waitForRule } from "./task-options.ts";

export interface FlowOptions {
  /** Default: the function's name. */
  readonly name?: string;
  /** For people. Default: none. */
  readonly description?: string;
  /** For people. Default: a hash of the text of the module that defines the flow. */
  readonly version?: string;
  /**
   * The name of each run, for people: a template in which `{month}` is a parameter, or a function. Made once per run,
   * when its parameters are checked. Default: two random words.
   */
  readonly flowRunName?: string | ((run: FlowRunInfo) => string);
  /** Any Standard Schema (zod, valibot, arktype): parameters are checked, and what it gives is passed on. Default: none. */
  readonly parameters?: StandardSchemaV1;
  /** false: parameters are passed on as they came, though there is a schema. Default: true. */
  readonly validateParameters?: boolean;
  /** Attempts after a failed first one. Task runs that completed are not run again in them. Default: 0. */
  readonly retries?: number;
  /** Wait before a retry, in seconds. Default: 0. */
  readonly retryDelaySeconds?: number;
  /**
   * How long an attempt may take, in seconds, its task runs included. When the time is over its signal
   * (`getRunContext().signal`) fires, its task runs are cancelled, and the run is FAILED, with the name TimedOut. The
   * function itself cannot be stopped; its next task call throws. Default: 0, as long as it needs.
   */
  readonly timeoutSeconds?: number;
  /** Called once, before the flow's function. Default: none. */
  readonly onRunning?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is COMPLETED. Default: none. */
  readonly onCompletion?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is FAILED. Default: none. */
  readonly onFailure?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is CANCELLED, by `cancel()` or with its parent. Default: none. */
  readonly onCancellation?: readonly Hook<FlowRunInfo>[];
  /** Called when a run is CRASHED. Default: none. */
  readonly onCrashed?: readonly Hook<FlowRunInfo>[];
  /** Where the flow's tasks run. Default: a ConcurrentTaskRunner. */
  readonly taskRunner?: TaskRunner;
  /** Added to the tags of the flow run and of every task run in it. Default: none. */
  readonly tags?: readonly string[];
  /**
   * How many task runs with a tag, or holders of a name in `concurrency`, there may be at once in this process; with
   * `slotDecayPerSecond`, how many may pass `rateLimit`. They hold for subflows too. Default: none.
   */
  readonly concurrencyLimits?: Readonly<Record<string, number | Limit>>;
  /** Keeps the result of the run, and of its task runs, under the run's id: see `storedResult`. Default: as the parent flow, or false. */
  readonly persistResult?: boolean;
  /** Where results are kept. Default: as the parent flow; or the Redis of a standing cluster; or files. */
  readonly resultStore?: ResultStore;
  /** Sends what the flow and its tasks write to `console` to their run loggers. Default: false. */
  readonly logConsole?: boolean;
}

/** What `withOptions` takes. null: as if the option had never been given. */
export type FlowCallOptions = { readonly [Name in keyof FlowOptions]: FlowOptions[Name] | null } & {
  /** Runs start only when these are completed; their values are not used. */
  readonly waitFor?: WaitFor;
};

export const flowOptionRules: rules.OptionRules<FlowOptions> = {
  name: rules.text,
  description: rules.anyText,
  version: rules.text,
  parameters: {
    expected: "a Standard Schema, such as z.object({ ... })",
    accepts: (value) =>
      value !== null && value !== undefined && typeof value !== "string" && "~standard" in Object(value),
  },
  validateParameters: rules.flag,
  flowRunName: rules.either(rules.text, rules.func),
  retries: rules.wholeNumber(0),
  retryDelaySeconds: rules.seconds,
  timeoutSeconds: rules.seconds,
  onRunning: hookList,
  onCompletion: hookList,
  onFailure: hookList,
  onCancellation: hookList,
  onCrashed: hookList,
  taskRunner: rules.having("a task runner, such as new ConcurrentTaskRunner()", "open"),
  tags: rules.texts,
  concurrencyLimits: {
    expected: "an object of limits: a whole number of 0 or more, or { slots, slotDecayPerSecond }",
    accepts: (value) =>
      typeof value === "object" && value !== null && Object.values(value).every((limit) => isLimit(limit)),
  },
  persistResult: rules.flag,
  resultStore: resultStoreRule,
  logConsole: rules.flag,
};

export const flowCallOptionRules: rules.OptionRules<FlowOptions & { readonly waitFor?: WaitFor }> = {
  ...flowOptionRules,
  waitFor: waitForRule,
};

/** What the options are that a user leaves out, besides the name and the task runner. */
export const FLOW_DEFAULTS = {
  description: undefined,
  version: undefined,
  flowRunName: undefined,
  parameters: undefined,
  validateParameters: true,
  retries: 0,
  retryDelaySeconds: 0,
  timeoutSeconds: undefined,
  onRunning: [],
  onCompletion: [],
  onFailure: [],
  onCancellation: [],
  onCrashed: [],
  tags: [],
  concurrencyLimits: {},
  persistResult: undefined,
  resultStore: undefined,
  logConsole: false,
} satisfies Partial<FlowDefinition>;
