import { DistantValue } from "@millrace/core/internal";
import type { Batch } from "../wire/batch.ts";
import type { ValueReference } from "../wire/call-values.ts";
import type { Values } from "./values.ts";

/** A large value of a call, as the flow's process knows it: where it is kept, for whom, and what it can be made of again. */
export class KeptValue implements ValueReference {
  readonly values: Values;
  readonly runnerId: string;
  /** Another one each time that it is stored. */
  id: string;
  sizeBytes: number;
  /** The bytes; or, of a result, the call that returned it, with the kept values that it needs. Undefined: it cannot be made again. */
  source: Uint8Array | Producer | undefined;
  isStored: boolean;
  /** Calls that need it and have not ended. */
  users = 0;
  /** Might somebody still ask for it, or give it to another call? */
  isHeld = true;
  remaking: Promise<void> | undefined;

  constructor(values: Values, reference: ValueReference, isStored: boolean, source?: Uint8Array) {
    this.values = values;
    this.runnerId = reference.runnerId;
    this.id = reference.id;
    this.sizeBytes = reference.sizeBytes;
    this.isStored = isStored;
    this.source = source;
  }

  /** Nobody holds it any more, apart from calls that need it. */
  release(): void {
    this.isHeld = false;
    this.values.freeIfUnneeded(this);
  }
}

/** Makes a result again: as it was made, without anybody hearing of it. */
export interface Producer {
  /** Its only call. References in it are KeptValues, which know where they are by then. */
  readonly batch: Batch;
  /** Executes the batch. @throws what says why there is no value */
  run(): Promise<Uint8Array | ValueReference>;
}

/** The kept values that the call of a producer needs. */
export function keptIn({ calls }: Batch): KeptValue[] {
  return calls
    .flatMap(({ argsReference, inputs }) => [argsReference, ...inputs])
    .filter((value) => value instanceof KeptValue);
}

/** The value of a run, kept where its tasks run. What becomes of it when nobody here has it any more: see Values. */
export class StoredValue extends DistantValue {
  readonly kept: KeptValue;

  constructor(kept: KeptValue) {
    super();
    this.kept = kept;
  }

  get sizeBytes(): number {
    return this.kept.sizeBytes;
  }

  protected fetch(): Promise<Uint8Array> {
    return this.kept.values.load(this.kept);
  }
}

/** Who needs values until it ends. */
export interface ValueUser {
  needs: Set<KeptValue> | undefined;
}
