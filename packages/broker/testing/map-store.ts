import type { ValueStore } from "../src/values/value-store.ts";
import type { ValueReference } from "../src/wire/call-values.ts";

/** Keeps values in this process, and counts what is written. */
export class MapStore implements ValueStore {
  readonly realm = "here";
  readonly mostBytes = 100_000;
  readonly kept = new Map<string, Uint8Array>();
  writes = 0;

  async write({ id }: ValueReference, bytes: Uint8Array): Promise<void> {
    this.writes++;
    this.kept.set(id, bytes);
  }

  async read({ id }: ValueReference): Promise<Uint8Array | undefined> {
    return this.kept.get(id);
  }

  remove({ id }: ValueReference): void {
    this.kept.delete(id);
  }
}
