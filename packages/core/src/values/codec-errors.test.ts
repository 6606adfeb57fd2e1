import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { DecodeError, NotEncodableError, TaskNotFoundError } from "../errors/errors.ts";
import { decode, encode } from "./codec.ts";
import { registerError, registerType } from "./registered-types.ts";

const roundTrip = <T>(value: T): T => decode(encode(value)) as T;

class PaymentError extends Error {
  readonly code = "E_PAYMENT";
  readonly details = { card: "visa", at: new Date(0) };
}

class RegisteredError extends RangeError {
  override readonly name = "RegisteredError";
  readonly limit: number;
  constructor(limit: number) {
    super(`over ${limit}`);
    this.limit = limit;
  }
}
registerError(RegisteredError);

describe("errors", () => {
  it.each([Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError])(
    "%o arrives as itself",
    (BuiltIn) => {
      const error = new BuiltIn("no");
      const arrived = roundTrip({ error }).error;
      expect(arrived).toBeInstanceOf(BuiltIn);
      expect([arrived.name, arrived.message, arrived.stack]).toEqual([
        error.name,
        error.message,
        error.stack,
      ]);
      expect(Object.keys(arrived)).toEqual([]);
    },
  );

  it("keep their cause, through any number of them", () => {
    const error = new Error("outer", { cause: new TypeError("middle", { cause: "inner" }) });
    const arrived = roundTrip(error);
    expect(arrived.cause).toBeInstanceOf(TypeError);
    expect((arrived.cause as Error).message).toBe("middle");
    expect((arrived.cause as Error).cause).toBe("inner");
  });

  it("of a class that is not registered keep its name, fields and base", () => {
    const arrived = roundTrip(new PaymentError("declined"));
    expect(arrived).toBeInstanceOf(Error);
    expect(arrived.constructor.name).toBe("PaymentError");
    expect([arrived.code, arrived.details]).toEqual(["E_PAYMENT", { card: "visa", at: new Date(0) }]);
    expect(inspect(arrived)).toContain("declined");
  });

  it("of a registered class are instances of it, without a call of its constructor", () => {
    const arrived = roundTrip(new RegisteredError(5));
    expect(arrived).toBeInstanceOf(RegisteredError);
    expect([arrived.limit, arrived.message, arrived.name]).toEqual([5, "over 5", "RegisteredError"]);
  });

  it("of Millrace are instances of their class", () => {
    const arrived = roundTrip(new TaskNotFoundError("add", "tasks.ts", ["sub"]));
    expect(arrived).toBeInstanceOf(TaskNotFoundError);
    expect(arrived.code).toBe("ERR_TASK_NOT_FOUND");
  });

  it("keep a name that somebody set", () => {
    const error = Object.assign(new Error("x"), { name: "HttpError", status: 404 });
    const arrived = roundTrip(error);
    expect([String(arrived), (arrived as typeof error).status]).toEqual(["HttpError: x", 404]);
  });

  it("keep the errors of an AggregateError, and a DOMException its name", () => {
    const aggregate = roundTrip(new AggregateError([new TypeError("a"), "b"], "many"));
    expect(aggregate).toBeInstanceOf(AggregateError);
    expect([aggregate.message, (aggregate.errors[0] as Error).message, aggregate.errors[1]]).toEqual([
      "many",
      "a",
      "b",
    ]);
    const abort = roundTrip(new DOMException("stopped", "AbortError"));
    expect(abort).toBeInstanceOf(DOMException);
    expect([abort.name, abort.message]).toEqual(["AbortError", "stopped"]);
  });

  it("always arrive: what cannot be sent of them is described", () => {
    const error = Object.assign(new Error("x"), { callback: () => 1, socket: new WeakMap(), ok: 1 });
    Object.defineProperty(error, "boom", {
      enumerable: true,
      get: () => {
        throw new Error("getter");
      },
    });
    const arrived = roundTrip(error) as typeof error;
    expect(arrived.message).toBe("x");
    expect([arrived.ok, String(arrived.callback), String(arrived.socket)]).toEqual([
      1,
      "function callback",
      "an instance of WeakMap",
    ]);
  });

  it("arrive from a cycle, and from a very long chain of causes", () => {
    const cyclic = new Error("cyclic");
    cyclic.cause = { error: cyclic };
    expect(roundTrip(cyclic).message).toBe("cyclic");
    let chain = new Error("first");
    for (let link = 0; link < 5_000; link++) chain = new Error(`link ${link}`, { cause: chain });
    expect(roundTrip(chain).message).toBe("link 4999");
  });

  it("do not touch any prototype", () => {
    const error = Object.defineProperty(new Error("x"), "__proto__", {
      value: { polluted: 1 },
      enumerable: true,
    });
    expect((roundTrip(error) as { polluted?: number }).polluted).toBeUndefined();
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe("registering", () => {
  it("refuses what is no class, and a class without a name", () => {
    const codec = { encode: () => 1, decode: () => ({}) };
    expect(() => registerType({} as never, codec)).toThrow(/class/);
    expect(() => registerType(class {}, codec)).toThrow(/name/);
    expect(() => registerType(class A {}, { encode: codec.encode } as never)).toThrow(/decode/);
    expect(() => registerError(class B {} as never)).toThrow(/derived from Error/);
  });

  it("covers the class itself, not those derived from it", () => {
    class Base {}
    class Derived extends Base {}
    registerType(Base, { encode: () => null, decode: () => new Base() });
    expect(roundTrip(new Base())).toBeInstanceOf(Base);
    expect(() => encode(new Derived())).toThrow(NotEncodableError);
  });

  it("names the path into what encode gave", () => {
    class Bad {}
    registerType(Bad, { encode: () => ({ f: () => 1 }), decode: () => new Bad() });
    expect(() => encode({ a: [new Bad()] })).toThrow(expect.objectContaining({ path: "value.a[0].<Bad>.f" }));
  });

  it("is missed with a clear error where a value arrives", () => {
    class Sent {}
    registerType(Sent, { name: "only-here", encode: () => 1, decode: () => new Sent() });
    const bytes = Buffer.from(encode(new Sent())).toString("latin1").replace("only-here", "not-known");
    expect(() => decode(Buffer.from(bytes, "latin1"))).toThrow(DecodeError);
    expect(() => decode(Buffer.from(bytes, "latin1"))).toThrow(/"not-known".*registerType/);
  });
});
