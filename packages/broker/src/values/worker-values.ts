import type { ValueReference } from "../wire/call-values.ts";
import type { ValueStore } from "./value-store.ts";

/**
 * How many bytes of values a worker process keeps at hand. Enough that the inputs of a level of a graph, or some large arguments of a
 * `map`, are fetched once: 25 of 10 MB, or five of 50 MB. It is an eighth to a quarter of the gigabyte or two that a process with some threads may
 * take.
 */
const CACHE_BYTES = 256 * 1024 * 1024;

/** The large values that a worker process has made or fetched, those last used: what is at hand is not fetched again. */
export class WorkerValues {
  readonly #store: ValueStore;
  readonly #maxBytes: number;
  /** By id, the one that was used longest ago first. */
  readonly #kept = new Map<string, Uint8Array>();
  readonly #fetching = new Map<string, Promise<Uint8Array | undefined>>();
  #keptBytes = 0;

  constructor(store: ValueStore, maxBytes = CACHE_BYTES) {
    this.#store = store;
    this.#maxBytes = maxBytes;
  }

  /** Resolves to undefined when the value is not where it was kept. Those who ask at once share one fetch. Never rejects. */
  fetch(reference: ValueReference): Uint8Array | Promise<Uint8Array | undefined> {
    const { id } = reference;
    const kept = this.#kept.get(id);
    if (kept !== undefined) {
      this.#kept.delete(id);
      this.#kept.set(id, kept);
      return kept;
    }
    let fetching = this.#fetching.get(id);
    if (fetching === undefined) {
      fetching = this.#fetch(reference);
      this.#fetching.set(id, fetching);
    }
    return fetching;
  }

  async #fetch(reference: ValueReference): Promise<Uint8Array | undefined> {
    const bytes = await this.#store.read(reference).catch(() => undefined);
    this.#fetching.delete(reference.id);
    if (bytes !== undefined) this.keep(reference, bytes);
    return bytes;
  }

  keep({ id }: ValueReference, bytes: Uint8Array): void {
    if (bytes.length > this.#maxBytes || this.#kept.has(id)) return;
    this.#kept.set(id, bytes);
    this.#keptBytes += bytes.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#keptBytes <= this.#maxBytes) return;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
  }
}
