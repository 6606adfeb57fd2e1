import { expect, test } from "vitest";
import { checkOutput, point } from "./kernel.js";

test("a task takes the outputs of the tasks that it needs", () => {
  const inputs = [point(0, 1, 1, [], []), point(0, 2, 1, [], [])];
  const output = point(1, 2, 1, [1, 2], inputs);
  expect(Buffer.from(output).toString("hex")).toBe("01000000000000000200000000000000");
  expect(() => checkOutput(1, 2, output)).not.toThrow();
});

test.each([
  { wrong: "place", needs: [3] },
  { wrong: "number of inputs", needs: [1, 2] },
])("an input with the wrong $wrong is refused", ({ needs }) => {
  expect(() => point(1, 1, 1, needs, [point(0, 1, 1, [], [])])).toThrow(/expected/i);
});
