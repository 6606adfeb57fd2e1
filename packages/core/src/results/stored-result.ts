import * as rules from "../definitions/options.ts";
import { defaultServices } from "../engine/run-services.ts";
import { decode } from "../values/codec.ts";
import { runKey } from "./result-cache.ts";
import { type ResultStore, resultStoreRule } from "./result-store.ts";

export interface StoredResultOptions {
  /** Default: the files under `MILLRACE_HOME`. */
  readonly resultStore?: ResultStore;
}

const optionRules: rules.OptionRules<StoredResultOptions> = { resultStore: resultStoreRule };

/**
 * The result that a flow run or task run kept because of `persistResult`, also after its process has ended.
 *
 * @returns the value in an object, since it may be undefined itself; undefined when nothing is kept for the run
 * @throws DecodeError when the value holds a type that is not registered here; InvalidOptionError; what the store throws
 */
export async function storedResult(
  runId: string,
  options: StoredResultOptions = {},
): Promise<{ readonly value: unknown } | undefined> {
  rules.checkOptions("storedResult()", options, optionRules);
  const { resultStore = defaultServices().resultStore } = options;
  const stored = await resultStore.read(runKey(runId));
  return stored && { value: decode(stored.value) };
}
