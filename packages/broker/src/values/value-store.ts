import { NotEncodableError } from "@millrace/core";
import type { ValueReference } from "../wire/call-values.ts";

/**
 * Where the large values of the calls of a cluster are kept between the processes that make and need them. A broker whose
 * runners and workers are in one process has none: there the bytes themselves, in shared memory, go from hand to hand.
 */
export interface ValueStore {
  /** Runners with the same can read each other's values. */
  readonly realm: string;
  /** The longest value that it keeps. */
  readonly mostBytes: number;
  /** Resolves when it is kept: with its runner's other values, as long as the runner lives, and 20 s beyond. */
  write(reference: ValueReference, bytes: Uint8Array): Promise<void>;
  /** The value, in shared memory; undefined when it is not there. */
  read(reference: ValueReference): Promise<Uint8Array | undefined>;
  /** Never rejects: what could not be removed goes with its runner. */
  remove(reference: ValueReference): void;
}

/** @throws NotEncodableError when the store cannot keep so many bytes: it would be asked for ever */
export function checkFits({ mostBytes }: ValueStore, what: string, sizeBytes: number): void {
  if (sizeBytes <= mostBytes) return;
  const advice = `Redis keeps values of at most ${mostBytes} bytes: pass parts of it, or the path of a file that workers can read.`;
  throw new NotEncodableError(what, `one of ${sizeBytes} bytes when it is encoded`, advice);
}
