import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextRetryDelayMs, type RetryPolicy } from "./retry.ts";

const policy = (given: Partial<RetryPolicy>): RetryPolicy => ({
  retries: 3,
  retryDelaySeconds: 0,
  retryJitterFactor: 0,
  ...given,
});
const never = () => {
  throw new Error("Expected no random number to be drawn.");
};

describe("without jitter", () => {
  test.each([
    ["no retries: the first failure is the last", { retries: 0 }, [undefined]],
    ["retries without delay follow at once", { retries: 2 }, [0, 0, undefined]],
    ["one number is every delay", { retries: 2, retryDelaySeconds: 1.5 }, [1500, 1500, undefined]],
    ["a list gives one delay per retry", { retries: 2, retryDelaySeconds: [1, 2] }, [1000, 2000, undefined]],
    ["the last of a list repeats", { retries: 3, retryDelaySeconds: [1, 2] }, [1000, 2000, 2000, undefined]],
    ["what a list has too many is not used", { retries: 1, retryDelaySeconds: [1, 2, 3] }, [1000, undefined]],
    ["an empty list is no delay", { retries: 1, retryDelaySeconds: [] }, [0, undefined]],
  ] satisfies [string, Partial<RetryPolicy>, (number | undefined)[]][])("%s", (_, given, expected) => {
    const delays = expected.map((_delay, index) => nextRetryDelayMs(policy(given), index + 1, never));
    expect(delays).toEqual(expected);
  });
});

describe("with jitter, a delay is drawn around its value", () => {
  test.each([
    // factor, random, expected share of the delay: -ln(1 - random), held between 1 - factor and 1 + factor
    [0.5, 0, 0.5],
    [0.5, 0.3, 0.5],
    [0.5, 1 - Math.exp(-1), 1],
    [0.5, 0.999, 1.5],
    [2, 0, 0],
    [2, 0.999, 3],
  ])("factor %d, random %d: %d of the delay", (retryJitterFactor, random, share) => {
    const delay = nextRetryDelayMs(policy({ retryDelaySeconds: 10, retryJitterFactor }), 1, () => random);
    expect(delay).toBeCloseTo(10_000 * share);
  });

  test("never below zero, never above delay × (1 + factor)", () => {
    const factors = fc.double({ min: 0, max: 10, noNaN: true });
    const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(factors, randoms, (retryJitterFactor, random) => {
        const delay = nextRetryDelayMs(policy({ retryDelaySeconds: 2, retryJitterFactor }), 1, () => random);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(2000 * (1 + retryJitterFactor) + 1e-6);
      }),
    );
  });

  test("no delay stays no delay", () => {
    expect(nextRetryDelayMs(policy({ retryJitterFactor: 1 }), 1, never)).toBe(0);
  });
});
