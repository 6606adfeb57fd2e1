import { describe, expect, test } from "vitest";
import { DecodeError } from "../errors/errors.ts";
import { decode, encode } from "./codec.ts";
import { MAX_DEPTH } from "./codec-check.ts";
import { packValue } from "./packer.ts";
import { TAGS, type Tag, Tagged } from "./tagged.ts";

// Bytes that `encode` never makes, and that somebody who can write to a Redis can.

const tagged = (tag: Tag, payload: unknown) => packValue(new Tagged(tag, payload));

test.each<[string, Uint8Array]>([
  ["an array that says it has four thousand million items", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
  ["an object that says so", Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff)],
  ["bytes that say so", Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff)],
  ["a text that says so", Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff)],
  ["a hundred thousand levels", new Uint8Array(100_000).fill(0x91)],
  ["two million levels", new Uint8Array(2_000_000).fill(0x91)],
  ["a reference to nothing", Uint8Array.of(0xd6, 0x70, 0, 0, 0, 1)],
  ["a tag that is not known", Uint8Array.of(0xd4, 21, 0, 0x92, TAGS.length, 0xc0)],
  ["a text without end", tagged("text", { length: 4_000_000_000 })],
  ["a state of a type that is none", tagged("state", ["DONE", "Done", "", 1, 0])],
  ["a state of a type of every object", tagged("state", ["constructor", "", "", 1, 0])],
  ["an item that is a prototype", tagged("sparse", [1, [["__proto__", { map: 1 }]]])],
  ["an item beyond the end", tagged("sparse", [1, [[1, "x"]]])],
  ["a class that is not registered", tagged("registered", ["Function", "process.exit(1)"])],
  ["an error of nothing", tagged("error", null)],
])("%s is a DecodeError, and the next value arrives", (_, bytes) => {
  expect(() => decode(bytes)).toThrow(DecodeError);
  expect(decode(encode({ next: [1, new Map([["a", 2n]])] }))).toEqual({ next: [1, new Map([["a", 2n]])] });
});

test("what may be sent at most, in levels, arrives", () => {
  let sent: unknown[] = [];
  for (let depth = 2; depth < MAX_DEPTH; depth++) sent = [sent];
  expect(decode(encode(sent))).toEqual(sent);
});

describe("an error that names its class", () => {
  const record = { name: "Error", message: "m", stack: "s", fields: {} };

  test.each(["Function", "Promise", "process", "eval", "Object", "__proto__", "constructor"])(
    "%s is made from Error",
    (base) => {
      const error = decode(tagged("error", { ...record, className: "Odd", base }));
      expect(error).toBeInstanceOf(Error);
      expect(Object.getPrototypeOf(Object.getPrototypeOf(error))).toBe(Error.prototype);
    },
  );

  test("has no field that changes what it is", () => {
    const fields = Object.defineProperty({}, "__proto__", { value: { polluted: 1 }, enumerable: true });
    const error = decode(tagged("error", { ...record, className: "Error", base: "Error", fields }));
    expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
    expect({}).not.toHaveProperty("polluted");
  });
});
