import { DecodeError } from "@millrace/core";
import { packMessage } from "@millrace/core/internal";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sampleBatch } from "../../testing/samples.ts";
import type { RawOutcome } from "./outcomes.ts";
import { OUTCOME_KINDS } from "./report.ts";
import {
  decodeOutcome,
  decodeRequest,
  decodeServiceAnswer,
  encodeOutcome,
  encodeRequest,
  encodeServiceAnswer,
  type Request,
} from "./requests.ts";

const count = fc.nat(Number.MAX_SAFE_INTEGER);
const text = fc.string({ unit: "grapheme", maxLength: 20 });
/** As Buffers: that is what views of a message are in Node. */
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const type = <const Name extends Request["type"]>(name: Name) => fc.constant(name);

const requests: fc.Arbitrary<Exclude<Request, { readonly type: "submit" }>> = fc.oneof(
  fc.record({ type: type("cancel"), id: count }),
  fc.record({
    type: type("acquire"),
    names: fc.array(text),
    slots: count,
    holder: text,
    isRate: fc.boolean(),
  }),
  fc.record({ type: type("read"), key: text }),
  fc.record({
    type: type("write"),
    key: text,
    value: bytes,
    expiresAt: fc.option(fc.double({ min: 0, max: 1e15, noNaN: true }), { nil: undefined }),
  }),
  fc.record({ type: type("claim"), key: text }),
  fc.record({ type: type("event"), name: text, event: bytes }),
  fc.record({ type: type("release"), given: text }),
);

const outcomes: fc.Arbitrary<RawOutcome> = fc.record({
  kind: fc.constantFrom(...OUTCOME_KINDS),
  payload: bytes,
});

const submit: Request = {
  type: "submit",
  crashRetries: 3,
  priority: 0,
  queue: "",
  batch: sampleBatch("runner"),
};

describe("what is encoded and decoded is the same:", () => {
  test("a call", () => {
    const decoded = decodeRequest(encodeRequest(submit));
    expect(Buffer.compare(encodeRequest(decoded), Buffer.from(encodeRequest(submit)))).toBe(0);
  });

  test("any other request", () => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(decodeRequest(encodeRequest(request))).toEqual(request);
      }),
    );
  });

  test("an answer", () => {
    fc.assert(
      fc.property(outcomes, bytes, (outcome, error) => {
        expect(decodeOutcome(encodeOutcome(outcome))).toEqual(outcome);
        expect(decodeServiceAnswer(encodeServiceAnswer({ error }))).toEqual({ error });
        expect(decodeServiceAnswer(encodeServiceAnswer({ value: [error, null] }))).toEqual({
          value: [error, null],
        });
      }),
    );
  });
});

describe.each<[string, (bytes: Uint8Array) => unknown, Uint8Array]>([
  ["a call", decodeRequest, encodeRequest(submit)],
  ["a request for slots", decodeRequest, encodeRequest({ ...acquire(), names: ["a", "b"] })],
  ["a write", decodeRequest, encodeRequest({ type: "write", key: "k", value: Buffer.of(1), expiresAt: 1.5 })],
  ["an event", decodeRequest, encodeRequest({ type: "event", name: "task-run-state", event: Buffer.of(1) })],
  [
    "an outcome",
    (body) => decodeOutcome({ body }),
    encodeOutcome({ kind: "threw", payload: Buffer.of(1, 2) }).body,
  ],
  ["an error", decodeServiceAnswer, encodeServiceAnswer({ error: Buffer.of(1, 2) })],
])("%s from who knows where is decoded, or refused with a DecodeError:", (_, decode, valid) => {
  const decodeOrRefuse = (given: Uint8Array) => {
    try {
      decode(given);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
    }
  };

  test("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), decodeOrRefuse));
  });

  test("bytes that end too early, or go on too long", () => {
    for (let length = 0; length < valid.length; length++) {
      expect(() => decode(valid.slice(0, length))).toThrow(DecodeError);
    }
    expect(() => decode(Buffer.concat([valid, valid]))).toThrow(DecodeError);
  });

  test("one byte changed, to whatever", () => {
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, byte) => {
        const mutated = Uint8Array.from(valid);
        mutated[at] = byte;
        decodeOrRefuse(mutated);
      }),
      { numRuns: 500 },
    );
  });

  test("any other message", () => {
    const values = fc.anything({ maxDepth: 3, withBigInt: false });
    const messages = fc.oneof(values, fc.array(values), fc.tuple(fc.nat(8), values, values, values));
    fc.assert(fc.property(messages, (message) => decodeOrRefuse(packMessage(message as never))));
  });
});

test("a submit of no call, or of several, is refused", () => {
  const batch = sampleBatch("runner");
  for (const calls of [[], [batch.calls[0]!, batch.calls[0]!]]) {
    const request = { ...submit, batch: { ...batch, calls } };
    expect(() => decodeRequest(encodeRequest(request))).toThrow(DecodeError);
  }
});

function acquire(): Request & { readonly type: "acquire" } {
  return { type: "acquire", names: [], slots: 1, holder: "run", isRate: false };
}
