import { orAborted } from "../tools/or-aborted.ts";
import type { Claim, ResultStore, StoredResult } from "./result-store.ts";

/** Results in the memory of this process, for as long as the store is used. Nothing is ever dropped but on expiry. */
export class MemoryResultStore implements ResultStore {
  readonly #results = new Map<string, StoredResult>();
  /** The last claim on each key: the next one begins when it ends. */
  readonly #claims = new Map<string, Promise<void>>();

  async read(key: string): Promise<StoredResult | undefined> {
    const result = this.#results.get(key);
    if (result === undefined) return undefined;
    if (result.expiresAt === undefined || result.expiresAt > Date.now()) return copyOf(result);
    this.#results.delete(key);
    return undefined;
  }

  async write(key: string, result: StoredResult): Promise<void> {
    this.#results.set(key, copyOf(result));
  }

  async claim(key: string, signal?: AbortSignal): Promise<Claim> {
    const before = this.#claims.get(key) ?? Promise.resolve();
    let end!: () => void;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const after = before.then(() => ended);
    this.#claims.set(key, after);
    void after.then(() => this.#claims.get(key) === after && this.#claims.delete(key));
    try {
      await orAborted(before, signal);
    } catch (error) {
      end();
      throw error;
    }
    return { release: async () => end() };
  }
}

/** The bytes may be part of a large message, and what a reader does to them is not for the next one to see. */
function copyOf({ value, expiresAt }: StoredResult): StoredResult {
  return { value: Uint8Array.from(value), expiresAt };
}
