import { type Batch, isReference, resultId, type ValueReference } from "@millrace/broker";
import { EncodedValue, WholeInput } from "@millrace/core/internal";
import { expect, test } from "vitest";
import { NestedValues } from "./nested-values.ts";

const LARGE = new Uint8Array(70_000).fill(1);

function setUp() {
  const unneeded: string[] = [];
  return { unneeded, values: new NestedValues((id) => unneeded.push(id)) };
}

const givenTo = (input: ValueReference) => ({ calls: [{ inputs: [input] }] }) as unknown as Batch;

test("small values travel in the call", () => {
  const { values } = setUp();
  const small = new Uint8Array(10);
  expect(values.place({}, small)).toBe(small);
  expect(values.takeOutgoing()).toEqual([]);
});

test("a large one goes up once for what it is the form of, in shared memory", () => {
  const { values } = setUp();
  const [owner, other] = [{}, {}];
  const [first, second, third] = [owner, owner, other].map((one) => values.place(one, LARGE));
  expect(second).toBe(first);
  expect(third).not.toEqual(first);
  const outgoing = values.takeOutgoing();
  expect(outgoing.map(({ id }) => id)).toEqual([first, third].map((value) => isReference(value) && value.id));
  expect((outgoing[0]!.value as Uint8Array).buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(values.takeOutgoing()).toEqual([]);
});

test("one that is lost goes up again when it is given again", () => {
  const { values } = setUp();
  const owner = {};
  const first = values.place(owner, LARGE) as ValueReference;
  values.takeOutgoing();
  values.lose(givenTo(first));
  const second = values.place(owner, LARGE) as ValueReference;
  expect(values.takeOutgoing().map(({ id }) => id)).toEqual([second.id]);
  values.lose(givenTo(first)); // Another call was given the same.
  expect(values.place(owner, LARGE)).toBe(second);
});

test("what a call has returned is kept already", () => {
  const { values } = setUp();
  const value = new EncodedValue(LARGE);
  values.returned(value, 3);
  expect(values.place(value, value.bytes)).toMatchObject({ id: resultId(3), sizeBytes: LARGE.length });
  expect(values.takeOutgoing()).toEqual([]);
});

test("it is said when no further call is given what map gives whole", () => {
  const { values, unneeded } = setUp();
  const whole = new WholeInput(LARGE, 0);
  whole.needed();
  const given = values.place(whole, LARGE) as ValueReference;
  expect(unneeded).toEqual([]);
  whole.unneeded();
  expect(unneeded).toEqual([given.id]);
});
