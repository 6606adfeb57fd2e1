import { ValueLostError } from "@millrace/core";
import { WholeInput } from "@millrace/core/internal";
import { describe, expect, test } from "vitest";
import { MapStore } from "../../testing/map-store.ts";
import type { Batch } from "../wire/batch.ts";
import { INLINE_LIMIT_BYTES, isReference, type ValueReference } from "../wire/call-values.ts";
import type { KeptValue, ValueUser } from "./kept-value.ts";
import { Values } from "./values.ts";

const LARGE = new Uint8Array(INLINE_LIMIT_BYTES + 1).fill(1);
const SMALL = new Uint8Array(INLINE_LIMIT_BYTES);
const NO_BATCH = { calls: [] } as unknown as Batch;

function setUp() {
  const store = new MapStore();
  return { store, values: new Values("runner", store) };
}

const user = (): ValueUser => ({ needs: undefined });

describe("the values of a dispatcher", () => {
  test("that are small travel as they are", () => {
    const { store, values } = setUp();
    expect(values.place({}, SMALL, user(), false)).toBe(SMALL);
    expect(store.writes).toBe(0);
  });

  test("that are large are in shared memory where there is no store", () => {
    const placed = new Values("runner", undefined).place({}, LARGE, user(), false);
    expect((placed as Uint8Array).buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(placed).toEqual(LARGE);
  });

  test("that the store cannot keep are refused", () => {
    const { store, values } = setUp();
    const tooLarge = new Uint8Array(store.mostBytes + 1);
    expect(() => values.place({}, tooLarge, user(), false)).toThrow(
      /`an argument`, got one of 100001 bytes when it is encoded\. Redis keeps values of at most 100000 bytes/,
    );
    expect(store.writes).toBe(0);
  });

  test("are stored once for what they are the form of, and freed with the last call that needs them", () => {
    const { store, values } = setUp();
    const [owner, users] = [{}, [user(), user()]];
    const placed = users.map((each) => values.place(owner, LARGE, each, false));
    expect(placed.every(isReference)).toBe(true);
    expect(placed[0]).toBe(placed[1]);
    expect(store.writes).toBe(1);
    values.ended(users[0]!);
    expect(store.kept.size).toBe(1);
    values.ended(users[1]!);
    expect(store.kept.size).toBe(0);
  });

  test("are put there again for a call that is sent again", () => {
    const { store, values } = setUp();
    const [owner, one] = [{}, user()];
    for (const _ of [1, 2]) {
      values.place(owner, LARGE, one, false);
      values.ended(one);
    }
    values.place(owner, LARGE, one, false);
    expect([store.writes, store.kept.size]).toEqual([3, 1]);
  });

  test("that go whole to all calls of a map stay until no run needs them", () => {
    const { store, values } = setUp();
    const whole = new WholeInput(LARGE, 0);
    for (const _ of [1, 2]) whole.needed();
    const one = user();
    values.place(
      whole,
      whole.encoded((bytes) => bytes),
      one,
      true,
    );
    values.ended(one);
    whole.unneeded();
    expect(store.kept.size).toBe(1);
    whole.unneeded();
    expect(store.kept.size).toBe(0);
  });

  describe("when the store has lost one", () => {
    async function returned(
      values: Values,
      store: MapStore,
      run?: () => Promise<Uint8Array | ValueReference>,
    ) {
      const reference = { runnerId: "runner", id: "first", sizeBytes: LARGE.length };
      const kept = values.returned(reference);
      if (run !== undefined) kept.source = { batch: NO_BATCH, run };
      store.kept.clear();
      return kept;
    }

    test("its call is run again, once for all who ask", async () => {
      const { store, values } = setUp();
      let runs = 0;
      const kept: KeptValue = await returned(values, store, async () => {
        runs++;
        store.kept.set("second", LARGE);
        return { runnerId: "runner", id: "second", sizeBytes: LARGE.length };
      });
      expect(await Promise.all([values.load(kept), values.load(kept)])).toEqual([LARGE, LARGE]);
      expect([runs, kept.id]).toEqual([1, "second"]);
    });

    test("a value that is smaller this time is kept all the same", async () => {
      const { store, values } = setUp();
      const kept = await returned(values, store, async () => SMALL);
      expect(await values.load(kept)).toEqual(SMALL);
    });

    test("and its call fails this time, that is the error", async () => {
      const { store, values } = setUp();
      const cause = new RangeError("not twice");
      const kept = await returned(values, store, () => Promise.reject(cause));
      const error = await values.load(kept).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ValueLostError);
      expect(error).toMatchObject({ cause, message: expect.stringContaining("RangeError: not twice") });
    });

    test("and loses it each time, that ends", async () => {
      const { store, values } = setUp();
      let runs = 0;
      const kept = await returned(values, store, async () => ({
        ...{ runnerId: "runner", id: `${++runs}`, sizeBytes: 1 },
      }));
      await expect(values.load(kept)).rejects.toThrow("it was lost 3 times");
    });

    test("after the end of the flow run, it is an error", async () => {
      const { store, values } = setUp();
      const kept = await returned(values, store, async () => LARGE);
      values.close();
      await expect(values.load(kept)).rejects.toThrow("its flow run has ended");
    });
  });
});
