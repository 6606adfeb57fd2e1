import { describe, expect, test } from "vitest";
import type { ValueReference } from "../wire/call-values.ts";
import type { ValueStore } from "./value-store.ts";
import { WorkerValues } from "./worker-values.ts";

const reference = (id: string): ValueReference => ({ runnerId: "runner", id, sizeBytes: 10 });

/** A store whose reads end when the test says so. */
class SlowStore implements ValueStore {
  readonly mostBytes = Number.POSITIVE_INFINITY;
  readonly realm = "here";
  readonly reads: { id: string; end(bytes: Uint8Array | undefined): void; fail(): void }[] = [];

  async write(): Promise<void> {}
  remove(): void {}

  read({ id }: ValueReference): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.reads.push({ id, end: resolve, fail: () => reject(new Error("away")) });
    });
  }
}

describe("the values of a worker process", () => {
  test("are fetched once for all who ask at the same time, and are at hand then", async () => {
    const store = new SlowStore();
    const values = new WorkerValues(store);
    const asked = [values.fetch(reference("a")), values.fetch(reference("a"))];
    const bytes = Uint8Array.of(1);
    store.reads[0]?.end(bytes);
    expect(await Promise.all(asked)).toEqual([bytes, bytes]);
    expect(values.fetch(reference("a"))).toBe(bytes);
    expect(store.reads).toHaveLength(1);
  });

  test("are not fetched where they were made", () => {
    const store = new SlowStore();
    const values = new WorkerValues(store);
    values.keep(reference("a"), Uint8Array.of(1));
    expect(values.fetch(reference("a"))).toEqual(Uint8Array.of(1));
    expect(store.reads).toEqual([]);
  });

  test("stay within the bound: the one that was used longest ago goes", () => {
    const store = new SlowStore();
    const values = new WorkerValues(store, 25);
    for (const id of ["a", "b"]) values.keep(reference(id), new Uint8Array(10));
    values.fetch(reference("a"));
    values.keep(reference("c"), new Uint8Array(10));
    for (const id of ["a", "c", "b"]) void values.fetch(reference(id));
    expect(store.reads.map(({ id }) => id)).toEqual(["b"]);
  });

  test("may be larger than the bound, and are fetched each time", async () => {
    const store = new SlowStore();
    const values = new WorkerValues(store, 5);
    for (const turn of [0, 1]) {
      const asked = values.fetch(reference("a"));
      store.reads[turn]?.end(new Uint8Array(10));
      expect(await asked).toHaveLength(10);
    }
  });

  test("that are lost, or cannot be read, are undefined, and looked for again", async () => {
    const store = new SlowStore();
    const values = new WorkerValues(store);
    const lost = values.fetch(reference("a"));
    store.reads[0]?.end(undefined);
    expect(await lost).toBeUndefined();
    const failed = values.fetch(reference("a"));
    store.reads[1]?.fail();
    expect(await failed).toBeUndefined();
    expect(store.reads).toHaveLength(2);
  });
});
