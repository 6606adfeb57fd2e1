import { NotEncodableError, ValueLostError } from "@millrace/core";
import { expect, test } from "vitest";
import { MapStore } from "../../testing/map-store.ts";
import { sampleBatch } from "../../testing/samples.ts";
import type { Batch } from "../wire/batch.ts";
import type { ValueReference } from "../wire/call-values.ts";
import { GivenValues, givenReference } from "./given-values.ts";
import { KeptValue } from "./kept-value.ts";
import { Values } from "./values.ts";

const LARGE = new Uint8Array(70_000).fill(1);
const kept: ValueReference = { runnerId: "runner", id: "kept", sizeBytes: LARGE.length };

function setUp() {
  const store = new MapStore();
  store.kept.set(kept.id, LARGE);
  return { store, given: new GivenValues(new Values("runner", store)) };
}

function batchOf(argsReference: ValueReference | undefined, inputs: readonly ValueReference[]): Batch {
  const sample = sampleBatch("nested");
  return { ...sample, calls: sample.calls.map((call) => ({ ...call, argsReference, inputs })) };
}

test("bytes take the place of what refers to them, also of arguments", () => {
  const { given } = setUp();
  given.add({ id: "0", value: LARGE });
  const reference = givenReference("0", LARGE.length);
  const [call] = given.filled(batchOf(reference, [reference, kept])).calls;
  expect(call?.args).toBe(LARGE);
  expect(call?.argsReference).toBeUndefined();
  expect(call?.inputs).toEqual([LARGE, kept]);
});

test("what is kept is referred to where it is", () => {
  const { given } = setUp();
  given.add({ id: "3", value: kept });
  const [call] = given.filled(batchOf(givenReference("3", LARGE.length), [])).calls;
  expect(call?.argsReference).toBeInstanceOf(KeptValue);
  expect(call?.argsReference).toMatchObject(kept);
});

test("it is freed when it is released, or with all others", () => {
  const { store, given } = setUp();
  store.kept.set("other", LARGE);
  given.add({ id: "0", value: kept });
  given.add({ id: "1", value: { ...kept, id: "other" } });
  given.release("0");
  given.release("0");
  expect([...store.kept.keys()]).toEqual(["other"]);
  given.releaseAll();
  expect(store.kept.size).toBe(0);
});

test("what did not come is lost, unless it was too large to be kept", () => {
  const { store, given } = setUp();
  expect(() => given.filled(batchOf(undefined, [givenReference("0", store.mostBytes)]))).toThrow(
    ValueLostError,
  );
  expect(() => given.filled(batchOf(undefined, [givenReference("0", store.mostBytes + 1)]))).toThrow(
    NotEncodableError,
  );
});
