import { orAborted } from "../tools/or-aborted.ts";
import { EncodedValue, encode } from "../values/codec.ts";
import { DistantValue } from "../values/distant-value.ts";
import type { Claim, ResultStore, StoredResult } from "./result-store.ts";

/** The key under which a cached result is kept, and that of a run's own result: they must never meet. */
const cacheKey = (key: string): string => `cache:${key}`;
export const runKey = (runId: string): string => `run:${runId}`;

/** What a look into the cache gives: a result, or the right and the duty to make one. */
export type Lookup = { readonly hit: StoredResult } | { readonly entry: CacheEntry };

export interface LookupOptions {
  /** true: what is there counts for nothing. */
  readonly refresh: boolean;
  readonly signal: AbortSignal;
  /** Told when another may be computing the result. */
  readonly onWait: () => void;
}

/** Computations of this process that others wait for: one waits in the store for all of them. */
const flights = new WeakMap<ResultStore, Map<string, Promise<StoredResult | undefined>>>();

type Land = (result: StoredResult | undefined) => void;

/** A result that is being computed: of equal calls, in every process that shares the store, by one at a time. */
export class CacheEntry {
  readonly #store: ResultStore;
  readonly #key: string;
  readonly #claim: Claim | undefined;
  readonly #land: (result: StoredResult | undefined) => void;

  /** @throws what the store throws, and signal.reason when the signal fires while another computes */
  static async open(store: ResultStore, key: string, options: LookupOptions): Promise<Lookup> {
    const { refresh, signal, onWait } = options;
    const storeKey = cacheKey(key);
    if (refresh) return { entry: new CacheEntry(store, storeKey, undefined, ignore) };
    let ours = flights.get(store);
    if (ours === undefined) {
      ours = new Map();
      flights.set(store, ours);
    }
    for (let flight = ours.get(key); flight !== undefined; flight = ours.get(key)) {
      onWait();
      const hit = await orAborted(flight, signal);
      if (hit !== undefined) return { hit };
    }
    let land: Land = ignore;
    const flight = new Promise<StoredResult | undefined>((resolve) => {
      land = (result) => {
        if (ours.get(key) === flight) ours.delete(key);
        resolve(result);
      };
    });
    ours.set(key, flight);
    try {
      return await CacheEntry.#open(store, storeKey, land, options);
    } catch (error) {
      land(undefined);
      throw error;
    }
  }

  static async #open(
    store: ResultStore,
    key: string,
    land: Land,
    { signal, onWait }: LookupOptions,
  ): Promise<Lookup> {
    let hit = await store.read(key);
    let claim: Claim | undefined;
    if (hit === undefined) {
      onWait(); // Not for long, when nobody else has the claim.
      claim = await store.claim(key, signal);
      // Whoever had the claim before may have written it.
      hit = await store.read(key).catch(async (error) => {
        await claim?.release();
        throw error;
      });
    }
    if (hit === undefined) return { entry: new CacheEntry(store, key, claim, land) };
    land(hit);
    await claim?.release();
    return { hit };
  }

  private constructor(store: ResultStore, key: string, claim: Claim | undefined, land: Land) {
    this.#store = store;
    this.#key = key;
    this.#claim = claim;
    this.#land = land;
  }

  /** The computation succeeded: keeps its result, and gives it to those that wait. @throws what the store throws */
  async complete(result: StoredResult): Promise<void> {
    try {
      await this.#store.write(this.#key, result);
      const isExpired = result.expiresAt !== undefined && result.expiresAt <= Date.now();
      this.#land(isExpired ? undefined : result);
    } finally {
      await this.abandon();
    }
  }

  /** There will be no result from here: the next one may try. */
  async abandon(): Promise<void> {
    this.#land(undefined);
    await this.#claim?.release();
  }
}

/** @throws NotEncodableError, ValueNotLoadedError */
export function storedForm(value: unknown, expiresAt: number | undefined): StoredResult {
  const encoded = value instanceof DistantValue ? value.encoded : value;
  return { value: encoded instanceof EncodedValue ? encoded.bytes : encode(encoded, "result"), expiresAt };
}

function ignore(): void {}
