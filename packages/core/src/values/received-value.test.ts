import fc from "fast-check";
import { expect, test } from "vitest";
import { EncodedValue, encode } from "./codec.ts";
import { receivedValue } from "./received-value.ts";

test.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, -1, -32, true, false, null, undefined])(
  "%s comes as itself",
  (value) => {
    expect(receivedValue(encode(value))).toBe(value);
  },
);

test("everything comes as what it was, encoded or not", () => {
  const values = fc.oneof(fc.integer(), fc.double(), fc.string(), fc.bigInt(), fc.anything({ maxDepth: 1 }));
  fc.assert(
    fc.property(values, (value) => {
      const received = receivedValue(encode(value));
      expect(received instanceof EncodedValue ? received.value() : received).toEqual(value);
    }),
  );
});

test("bytes that are no value are left to who asks for it", () => {
  for (const bytes of [[], [0xc1], [0xcc], [0xcd, 1]])
    expect(receivedValue(Uint8Array.from(bytes))).toBeInstanceOf(EncodedValue);
});
