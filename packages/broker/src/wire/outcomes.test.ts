import { Completed, CrashedRunError, type Outcome } from "@millrace/core";
import { EncodedValue, encode } from "@millrace/core/internal";
import { describe, expect, test } from "vitest";
import { toOutcome, toRaw } from "./outcomes.ts";

const MOST_BYTES = 10_000;
const LONG = "x".repeat(MOST_BYTES);

describe("an outcome that is too long for a message", () => {
  test.each<[string, Outcome, string]>([
    ["an error", { type: "threw", error: new RangeError(LONG), retriable: true }, "error"],
    ["what a run was crashed by", { type: "crashed", error: new CrashedRunError(LONG) }, "error"],
    ["a State that was made by hand", { type: "returned", value: Completed({ data: LONG }) }, "result"],
  ])("%s: the call fails for good, with the error that says so", (_, outcome, path) => {
    const raw = toRaw(outcome, MOST_BYTES);
    expect(raw.payload.length).toBeLessThan(MOST_BYTES);
    expect(toOutcome(raw)).toMatchObject({
      type: "threw",
      retriable: false,
      error: {
        ...{ code: "ERR_NOT_ENCODABLE", path },
        message: expect.stringMatching(
          /got one of \d+ bytes when it is encoded\. A message has at most 10000 /,
        ),
      },
    });
  });

  test("no value is: a long one goes beside the message, also when it came encoded", () => {
    for (const value of [LONG.repeat(10), new EncodedValue(encode(LONG.repeat(10)))]) {
      const { kind, payload } = toRaw({ type: "returned", value }, MOST_BYTES);
      expect(kind).toBe("returned");
      expect(payload.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
  });
});
