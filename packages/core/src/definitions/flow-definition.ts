import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Limit } from "../limits/limiter.ts";
import type { ResultStore } from "../results/result-store.ts";
import type { TaskRunner } from "../runners/task-runner.ts";
import type { FlowRunInfo, Hook } from "./hooks.ts";

/** A flow with its options filled in. Immutable. */
export interface FlowDefinition {
  readonly fn: (parameters: never) => unknown;
  readonly name: string;
  readonly description: string | undefined;
  /** What the option says; see flow-version.ts for the one that counts. */
  readonly version: string | undefined;
  /** Where the flow is defined, when that is a file. */
  readonly moduleUrl: string | undefined;
  readonly flowRunName: string | ((run: FlowRunInfo) => string) | undefined;
  readonly parameters: StandardSchemaV1 | undefined;
  readonly validateParameters: boolean;
  readonly retries: number;
  readonly retryDelaySeconds: number;
  /** How long an attempt may take; undefined or 0: as long as it needs. */
  readonly timeoutSeconds: number | undefined;
  readonly onRunning: readonly Hook<FlowRunInfo>[];
  readonly onCompletion: readonly Hook<FlowRunInfo>[];
  readonly onFailure: readonly Hook<FlowRunInfo>[];
  readonly onCancellation: readonly Hook<FlowRunInfo>[];
  readonly onCrashed: readonly Hook<FlowRunInfo>[];
  readonly taskRunner: TaskRunner;
  readonly tags: readonly string[];
  readonly concurrencyLimits: Readonly<Record<string, number | Limit>>;
  /** Undefined: as the parent flow, else not. */
  readonly persistResult: boolean | undefined;
  /** Undefined: that of the parent flow, else that of the task runner, else files. */
  readonly resultStore: ResultStore | undefined;
  readonly logConsole: boolean;
}
