import { expect, test } from "vitest";
import { replaceSection } from "./section.ts";

test("a section is replaced, and what is around it stays", () => {
  const page = "a <!-- bench:x -->\nold\n<!-- /bench:x --> b";
  const replaced = replaceSection(page, "x", "new $1");
  expect(replaced).toBe("a <!-- bench:x -->\nnew $1\n<!-- /bench:x --> b");
  expect(replaceSection(replaced, "x", "new $1")).toBe(replaced);
});

test("a page without the section is refused", () => {
  expect(() => replaceSection("<!-- bench:y --><!-- /bench:y -->", "x", "")).toThrow(/bench:x/);
});
