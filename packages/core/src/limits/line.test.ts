import fc from "fast-check";
import { expect, test } from "vitest";
import { Line } from "./line.ts";

test("it behaves as an array does, whoever leaves", () => {
  const step = fc.option(fc.nat(20), { nil: undefined }); // Who leaves, or that somebody joins.
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const line = new Line<number>();
      const model: number[] = [];
      const leaves: (() => void)[] = [];
      for (const leaver of steps) {
        if (leaver === undefined) {
          model.push(leaves.length);
          leaves.push(line.join(leaves.length));
        } else if (leaver < leaves.length) {
          leaves[leaver]!(); // Perhaps for the second time.
          if (model.includes(leaver)) model.splice(model.indexOf(leaver), 1);
        }
        expect(line.first).toBe(model[0]);
      }
      for (const left of [...model]) {
        expect(line.first).toBe(left);
        leaves[left]!();
      }
      expect(line.first).toBeUndefined();
    }),
  );
});
