import type { ValueReference } from "./call-values.ts";

/**
 * Where the large values of the calls of a cluster are kept between the processes that make and need them. A broker whose
 * runners and workers are in one process has none: there the bytes themselves, in shared memory, go from hand to hand.
 */
export interface ValueStore {
  /** Runners with the same can read each other's values. */
  readonly realm: string;
  /** Resolves when it is kept: with its runner's other values, as long as the runner lives, and a minute beyond. */
  write(reference: ValueReference, bytes: Uint8Array): Promise<void>;
  /** The value, in shared memory; undefined when it is not there. */
  read(reference: ValueReference): Promise<Uint8Array | undefined>;
  /** Never rejects: what could not be removed goes with its runner. */
  remove(reference: ValueReference): void;
}
