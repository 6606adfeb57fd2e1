import { SignatureError } from "@millrace/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sampleBatch } from "../../testing/samples.ts";
import { encodeBatch } from "../wire/batch.ts";
import { type Place, queueOf, type Seal, sealOf } from "./seal.ts";

const SECRET = "correct horse battery staple";
const seal = sealOf(SECRET, "app");
const place: Place = { kind: "value", key: "{millrace:app}:values:r", field: "a" };

const bytes = fc.uint8Array({ maxLength: 300 });

function refusal(by: Seal, signed: Uint8Array, at = place): string {
  try {
    by.verify(signed, at);
  } catch (error) {
    expect(error).toBeInstanceOf(SignatureError);
    return (error as Error).message;
  }
  return expect.fail("Expected a refusal.");
}

test("what was signed for a place is read there as it was", () => {
  fc.assert(
    fc.property(bytes, (message) => {
      expect(Buffer.compare(seal.verify(seal.sign(message, place), place), message)).toBe(0);
    }),
  );
});

test("any change to what was signed is refused", () => {
  fc.assert(
    fc.property(bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (message, at, change) => {
      const changed = Uint8Array.from(seal.sign(message, place));
      changed[at % changed.length]! ^= change;
      refusal(seal, changed);
    }),
  );
});

test("what is cut off, or longer, is refused", () => {
  fc.assert(
    fc.property(bytes, fc.nat(), bytes, (message, cut, more) => {
      const signed = seal.sign(message, place);
      refusal(seal, signed.subarray(0, cut % signed.length));
      if (more.length > 0) refusal(seal, Buffer.concat([signed, more]));
    }),
  );
});

test("what is not signed is refused, whatever it is", () => {
  fc.assert(
    fc.property(bytes, (message) => {
      expect(refusal(seal, message)).toMatch(/not signed|another/);
    }),
  );
});

describe("a signed message at another place is refused:", () => {
  test.each<[string, Place]>([
    ["another kind", { ...place, kind: "report" }],
    ["another key", { ...place, key: "{millrace:app}:values:s" }],
    ["another field", { ...place, field: "b" }],
    ["no field", { kind: place.kind, key: place.key }],
    ["the field as the end of the key", { kind: place.kind, key: `${place.key}a` }],
    ["another namespace", { ...place, key: place.key.replace("app", "other") }],
  ])("%s", (_, other) => {
    const signed = seal.sign(Uint8Array.of(1, 2, 3), place);
    expect(refusal(seal, signed, other)).toContain("or for another place");
  });
});

test("another secret is refused, and has another fingerprint", () => {
  const other = sealOf(`${SECRET}!`, "app");
  refusal(other, seal.sign(Uint8Array.of(1), place));
  expect(other.fingerprint).not.toBe(seal.fingerprint);
});

test("the same secret in another namespace is another", () => {
  const other = sealOf(SECRET, "other");
  refusal(other, seal.sign(Uint8Array.of(1), place));
  expect(other.fingerprint).not.toBe(seal.fingerprint);
});

test("the fingerprint is the same in every process of every version: another would part old workers from new runners", () => {
  expect(seal.fingerprint).toBe("CKgKN-79QZ5A");
});

describe("without a secret", () => {
  const unsigned = sealOf(undefined, "app");
  const message = encodeBatch(sampleBatch("runner"));

  test("a message is as it was: not even copied", () => {
    expect(unsigned.sign(message, place)).toBe(message);
    expect(unsigned.verify(message, place)).toBe(message);
    expect(queueOf("default", unsigned)).toBe("default");
  });

  test("one that is signed is refused, with the reason", () => {
    const at: Place = { kind: "batch", key: "{millrace:app}:default:1" };
    expect(refusal(unsigned, seal.sign(message, at), at)).toMatch(/since this process has no secret/);
  });
});
