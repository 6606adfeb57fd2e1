import type { CallSite } from "./call-site.ts";
import type { RetryPolicy } from "./retry.ts";

/** A task with its options filled in: what the engine, the runners and the workers read. Immutable. */
export interface TaskDefinition extends RetryPolicy {
  readonly fn: (...args: never[]) => unknown;
  readonly name: string;
  readonly description: string | undefined;
  readonly version: string | undefined;
  readonly tags: readonly string[];
  /** How many times a call may be in a thread or process that dies, and be run again. */
  readonly crashRetries: number;
  readonly logConsole: boolean;
  readonly callSite: CallSite;
  /** The module to import for this task instead of the one that defined it: `file:` URL or absolute path. */
  readonly module: string | undefined;
}
