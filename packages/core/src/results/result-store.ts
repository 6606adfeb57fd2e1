import { having, type OptionRule } from "../definitions/options.ts";

/**
 * Where results are kept past the end of their run: for the cache, and for `persistResult`. Implementations pass one
 * contract suite (testing/result-store.contract.ts): memory, file, and Redis (in the broker package).
 */
export interface ResultStore {
  /**
   * What is kept under the key: written whole, and not expired. Undefined when there is nothing, or when it cannot be
   * read any more (torn, of another version): then it is computed again.
   */
  read(key: string): Promise<StoredResult | undefined>;
  /** Replaces what is kept under the key. Of two writers the last one wins; a reader sees the one or the other whole. */
  write(key: string, result: StoredResult): Promise<void>;
  /**
   * Waits for the right to compute the key's value, which one holder has at a time, across every process that shares
   * the store. A holder that died loses it.
   *
   * @throws signal.reason when the signal fires first
   */
  claim(key: string, signal?: AbortSignal): Promise<Claim>;
}

/** A value as it is kept. */
export interface StoredResult {
  /** The encoded value. */
  readonly value: Uint8Array;
  /** Milliseconds since the epoch from which on it counts as absent; undefined: never. */
  readonly expiresAt: number | undefined;
}

/** The right to compute a value, until it is released. */
export interface Claim {
  /** Lets the next one have it. Never rejects; safe to call twice. */
  release(): Promise<void>;
}

export const resultStoreRule: OptionRule = having(
  "a result store, such as new FileResultStore()",
  "read",
  "write",
  "claim",
);
