import type { TaskRunInfo } from "../definitions/hooks.ts";
import type { TaskDefinition } from "../definitions/task-definition.ts";
import type { Logger } from "../logger.ts";
import { CacheEntry, runKey, storedForm } from "../results/result-cache.ts";
import type { ResultStore } from "../results/result-store.ts";
import { readSettings } from "../settings.ts";
import { EncodedValue } from "../values/codec.ts";
import { DistantValue } from "../values/distant-value.ts";

/**
 * The result of one task run as it is kept: in the cache under the key of its call, and, when it is persisted, under
 * the run's id. A store that fails costs the run its cache, never its result.
 */
export class KeptResult {
  readonly #task: TaskDefinition;
  readonly #store: ResultStore;
  readonly #logger: () => Logger;
  #entry: CacheEntry | undefined;

  constructor(task: TaskDefinition, store: ResultStore, logger: () => Logger) {
    this.#task = task;
    this.#store = store;
    this.#logger = logger;
  }

  /**
   * The cached value of an equal call, still encoded. Undefined when this run is to make it. Never rejects.
   *
   * @param onWait told when another run may be making it
   */
  async find(
    info: TaskRunInfo,
    signal: AbortSignal,
    onWait: () => void,
  ): Promise<{ readonly value: EncodedValue } | undefined> {
    try {
      const key = await this.#task.cacheKeyFn?.(info, info.parameters as never);
      if (key === null || key === undefined) return undefined;
      const refresh = this.#task.refreshCache ?? readSettings().refreshCache;
      const found = await CacheEntry.open(this.#store, String(key), { refresh, signal, onWait });
      if ("hit" in found) return { value: new EncodedValue(found.hit.value) };
      this.#entry = found.entry;
    } catch (error) {
      if (!signal.aborted) this.#logger().error({ err: error }, "the cache could not be used, the task runs");
    }
    return undefined;
  }

  /** Keeps the value. Never rejects. */
  async keep(info: TaskRunInfo, value: unknown, isPersistent: boolean): Promise<void> {
    const entry = this.#entry;
    this.#entry = undefined;
    try {
      if (value instanceof DistantValue) await value.load();
      const { cacheExpirationSeconds: seconds } = this.#task;
      const expiresAt = seconds === undefined ? undefined : Date.now() + seconds * 1000;
      const writes: Promise<void>[] = [];
      if (isPersistent) writes.push(this.#store.write(runKey(info.taskRunId), storedForm(value, undefined)));
      if (entry !== undefined) writes.push(entry.complete(storedForm(value, expiresAt)));
      await Promise.all(writes);
    } catch (error) {
      this.#logger().error({ err: error }, "the result could not be kept");
      await entry?.abandon();
    }
  }

  /** The run has no result to keep: the next of equal calls may try. */
  abandon(): void {
    void this.#entry?.abandon();
    this.#entry = undefined;
  }
}
