import fc from "fast-check";
import { expect, it } from "vitest";
import { DecodeError } from "../errors/errors.ts";
import { decode, encode } from "./codec.ts";

/** Text of any UTF-16 code units: also halves of surrogate pairs. */
const text = fc
  .string({ unit: "binary" })
  .chain((whole) => fc.constantFrom(whole, `${whole}\udc00`, `\ud800${whole}`));

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(undefined, null, true, false, -0, 0, Number.NaN, Number.POSITIVE_INFINITY),
  fc.integer(),
  fc.double(),
  fc.bigInt(),
  text,
  fc.date({ noInvalidDate: false }),
  fc.uint8Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.float64Array(),
  fc.int32Array(),
  fc.webUrl().map((url) => new URL(url)),
  text.map((message) => new RangeError(message)),
);

const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("any")),
    fc.dictionary(fc.oneof(text, fc.constant("__proto__")), tie("any"), { noNullPrototype: true }),
    fc.array(fc.tuple(tie("any"), tie("any"))).map((entries) => new Map(entries)),
    fc.array(tie("any")).map((items) => new Set(items)),
    fc.sparseArray(tie("any")),
    tie("any").map((shared) => [shared, { again: shared }]),
    fc.array(tie("any")).map((items) => {
      const cycle: unknown[] = [...items];
      cycle.push(cycle, new Map([["back", cycle]]));
      return cycle;
    }),
    fc.tuple(text, tie("any")).map(([message, cause]) => new TypeError(message, { cause })),
  ),
})).any;

it("every value arrives as what it was", () => {
  fc.assert(
    fc.property(value, (sent) => {
      expect(decode(encode(sent))).toStrictEqual(sent);
    }),
    { numRuns: 200 },
  );
});

it("bytes that were cut or changed give a value or a DecodeError, and nothing else", () => {
  fc.assert(
    fc.property(value, fc.nat(), fc.nat(255), fc.boolean(), (sent, place, byte, isCut) => {
      const bytes = new Uint8Array(encode(sent));
      const at = place % bytes.length;
      const damaged = isCut ? bytes.subarray(0, at) : bytes.with(at, byte);
      try {
        decode(damaged);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }),
    { numRuns: 200 },
  );
});

it("random bytes give a value or a DecodeError, and nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }),
    { numRuns: 1000 },
  );
});

/** MessagePack of the form in which the codec writes a part that MessagePack has no form for: see tagged.ts. */
const tagged = fc
  .tuple(fc.nat(9), fc.uint8Array({ maxLength: 60 }))
  .map(([tag, payload]) => Uint8Array.of(0xd4, 21, 0, 0x92, tag, ...payload));

it("tagged parts with any payload give a value or a DecodeError, and nothing else", () => {
  fc.assert(
    fc.property(tagged, (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
      expect(decode(encode({ a: [1] }))).toEqual({ a: [1] });
    }),
    { numRuns: 1000 },
  );
});
