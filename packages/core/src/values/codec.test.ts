import { describe, expect, it } from "vitest";
import { DecodeError, NotEncodableError } from "../errors/errors.ts";
import { Failed, State } from "../futures/state.ts";
import { decode, decodeWithInputs, EncodedValue, encode, encodeWithInputs } from "./codec.ts";
import { Input } from "./input.ts";
import { registerType } from "./registered-types.ts";

const roundTrip = <T>(value: T): T => decode(encode(value)) as T;

class Money {
  readonly cents: number;
  constructor(cents: number) {
    this.cents = cents;
  }
}
registerType(Money, { encode: ({ cents }) => cents, decode: (cents) => new Money(cents) });

class Plain {
  readonly field = 1;
}

class TestInput extends Input {}

describe("values arrive as what they were", () => {
  it.each([
    ["undefined", undefined],
    ["null", null],
    ["NaN", Number.NaN],
    ["infinity", Number.NEGATIVE_INFINITY],
    ["minus zero", -0],
    ["a large whole number", Number.MAX_SAFE_INTEGER],
    ["a BigInt of 64 bits", 2n ** 63n - 1n],
    ["a BigInt of many bits", -(2n ** 500n) + 7n],
    ["text", "grüße 🌊"],
    ["text with half of a surrogate pair", "a\ud800b"],
    ["a date", new Date(0)],
    ["an invalid date", new Date(Number.NaN)],
    ["a pattern", /a+b/giu],
    ["a URL", new URL("https://example.com/a?b=c#d")],
    ["nested containers", { a: [1, { b: new Map([[{ k: 1 }, new Set([1, "2", [3]])]]) }] }],
    ["undefined fields", { a: undefined, b: [undefined] }],
    ["minus zero, deep", [{ x: [-0] }]],
    ["a registered class, deep", { price: [new Money(250)] }],
    ["bytes", Buffer.from("abc")],
    ["an ArrayBuffer", new Uint8Array([1, 2, 3]).buffer],
    [
      "numbers",
      [new Float64Array([1.5, -0, Number.NaN]), new BigUint64Array([2n ** 64n - 1n]), new Int8Array([-1])],
    ],
    ["a DataView", new DataView(new Uint8Array([1, 2]).buffer)],
  ])("%s", (_, value) => {
    const arrived = roundTrip(value);
    expect(arrived).toStrictEqual(value);
    expect(Object.getPrototypeOf(Object(arrived))).toBe(Object.getPrototypeOf(Object(value)));
  });

  it("keeps -0", () => {
    expect(Object.is(roundTrip(-0), -0)).toBe(true);
    expect(Object.is(roundTrip({ a: [-0] }).a[0], -0)).toBe(true);
  });

  it("keeps the holes of a sparse array", () => {
    const sparse = new Array<number>(5);
    sparse[3] = 7;
    const arrived = roundTrip({ sparse }).sparse;
    expect([arrived.length, 2 in arrived, arrived[3]]).toEqual([5, false, 7]);
  });

  it("keeps a key named __proto__ as a key", () => {
    const value = JSON.parse('{"__proto__": {"admin": true}, "a": 1}') as object;
    const arrived = roundTrip(value);
    expect(Object.keys(arrived)).toEqual(["__proto__", "a"]);
    expect((arrived as { admin?: boolean }).admin).toBeUndefined();
  });

  it("keeps a key that the packer uses for itself, and does not stumble over it later", () => {
    expect(roundTrip([{ __keys__: 1 }, {}, { a: 1 }])).toStrictEqual([{ __keys__: 1 }, {}, { a: 1 }]);
    expect(roundTrip([{}])).toStrictEqual([{}]);
  });

  it("keeps Buffers as Buffers, also from bytes that came as a Uint8Array", () => {
    const bytes = new Uint8Array(encode([Buffer.from("ab"), new Date(Number.NaN), new Uint8Array([1])]));
    expect(decode(bytes)).toStrictEqual([Buffer.from("ab"), new Date(Number.NaN), new Uint8Array([1])]);
  });

  it("lets a registered class encode and decode while it is encoded and decoded", () => {
    class Envelope {
      readonly content: unknown;
      constructor(content: unknown) {
        this.content = content;
      }
    }
    registerType(Envelope, {
      encode: ({ content }) => encode({ content }),
      decode: (bytes) => new Envelope((decode(bytes) as { content: unknown }).content),
    });
    const sent = [new Envelope({ a: new Envelope(1) }), { after: "it" }];
    expect(roundTrip(sent)).toStrictEqual(sent);
  });

  it("keeps cycles and shared parts", () => {
    const shared = { n: 1 };
    const value: { self?: unknown; list: unknown[]; map: Map<string, unknown> } = {
      list: [shared, shared],
      map: new Map([["shared", shared]]),
    };
    value.self = value;
    for (const extra of [1, -0]) {
      const arrived = roundTrip({ ...value, self: value, extra }).self as typeof value;
      expect(arrived.self).toBe(arrived);
      expect(arrived.list[0]).toBe(arrived.list[1]);
      expect(arrived.map.get("shared")).toBe(arrived.list[0]);
    }
  });

  it("keeps a State, with what it holds", () => {
    const arrived = roundTrip([Failed({ message: "no", data: new Date(5) })])[0] as State;
    expect(arrived).toBeInstanceOf(State);
    expect([arrived.type, arrived.message, arrived.data]).toEqual(["FAILED", "no", new Date(5)]);
  });

  it("gives bytes of their own, neither a view of the message nor of the encoder's memory", () => {
    const bytes = encode({ data: Buffer.from("payload"), view: new Uint8Array([1, 2]) });
    const arrived = decode(bytes) as { data: Buffer; view: Uint8Array };
    bytes.fill(0);
    expect(arrived.data.toString()).toBe("payload");
    expect([...arrived.view]).toEqual([1, 2]);
    expect(arrived.view.buffer.byteLength).toBe(2);
  });
});

describe("what cannot be sent is an error with the path to it", () => {
  const deep: unknown[] = [];
  let inner = deep;
  for (let level = 0; level < 1_500; level++) {
    const next: unknown[] = [];
    inner.push(next);
    inner = next;
  }
  it.each([
    [
      "a function",
      { rows: [{}, { callback: () => 1 }] },
      "arguments.rows[1].callback",
      /define the function/,
    ],
    ["a symbol", [Symbol("s")], "arguments[0]", /string/],
    ["a symbol as key", { a: { [Symbol("s")]: 1 } }, "arguments.a", /symbol/],
    ["a promise", { p: Promise.resolve(1) }, "arguments.p", /Await/],
    ["an instance", new Map([["k y", new Plain()]]), 'arguments.get("k y")', /registerType/],
    ["a derived Map", [new (class Cache extends Map {})()], "arguments[0]", /registerType/],
    ["a WeakMap", new Set([new WeakMap()]), "arguments.has(an instance of WeakMap)", /registerType/],
    ["shared memory", { "odd key": new SharedArrayBuffer(1) }, 'arguments["odd key"]', /SharedArrayBuffer/],
    ["a future", { f: new TestInput() }, "arguments.f", /Await/],
    ["what is too deep", deep, `arguments${"[0]".repeat(1_001)}`, /levels deep/],
  ])("%s", (_, value, path, message) => {
    const encoding = () => encode(value, "arguments");
    expect(encoding).toThrow(NotEncodableError);
    expect(encoding).toThrow(message);
    expect(encoding).toThrow(expect.objectContaining({ path, code: "ERR_NOT_ENCODABLE" }));
  });
});

it("what throws while it is read is an error of the same kind", () => {
  const thrower = {
    get broken() {
      throw new RangeError("no");
    },
  };
  expect(() => encode(thrower)).toThrow(NotEncodableError);
  expect(() => encodeWithInputs([thrower], "arguments")).toThrow(/RangeError: no/);
  expect(() => encode(Object.create(Date.prototype))).toThrow(NotEncodableError);
});

describe("inputs", () => {
  it("travel as placeholders, each once, and arrive as what is supplied", () => {
    const [a, b] = [new TestInput(), new TestInput()];
    const { bytes, inputs } = encodeWithInputs([a, { deep: [b, a] }, -0], "arguments");
    expect(inputs).toEqual([a, b]);
    const supplied = { x: 1 };
    const arrived = decodeWithInputs(bytes, [supplied, "B"]) as [unknown, { deep: unknown[] }, number];
    expect(arrived).toStrictEqual([supplied, { deep: ["B", supplied] }, -0]);
    expect(arrived[0]).toBe(supplied);
  });

  it("are missed when too few are supplied", () => {
    const { bytes } = encodeWithInputs([new TestInput()], "arguments");
    expect(() => decodeWithInputs(bytes, [])).toThrow(DecodeError);
  });
});

describe("bytes that are no value", () => {
  it("are a DecodeError", () => {
    const bytes = encode({ a: [1, 2, 3], b: "text" });
    expect(() => decode(bytes.subarray(0, bytes.length - 2))).toThrow(DecodeError);
    expect(() => decode(new Uint8Array(0))).toThrow(DecodeError);
    expect(() => decode(Buffer.concat([bytes, bytes]))).toThrow(DecodeError);
  });
});

describe("an encoded value", () => {
  it("is decoded once, so that everybody gets the same object", () => {
    const encoded = new EncodedValue(encode({ a: 1 }));
    expect(encoded.value()).toEqual({ a: 1 });
    expect(encoded.value()).toBe(encoded.value());
  });
});
