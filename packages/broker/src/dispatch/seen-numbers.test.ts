import fc from "fast-check";
import { expect, test } from "vitest";
import { SeenNumbers } from "./seen-numbers.ts";

test("a number is new the first time that it comes, in whatever order", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 })), (numbers) => {
      const seen = new SeenNumbers();
      const known = new Set<number>();
      for (const number of numbers) {
        expect(seen.add(number)).toBe(!known.has(number));
        known.add(number);
      }
    }),
  );
});
