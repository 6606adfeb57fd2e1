/** Every test that docs/semantics.md names is there. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ROW = /^\| (.+) \| `([^`]+)`: (.+) \|$/gm;

/** The page abbreviates where tests mostly are. */
function fileOf(place: string): string {
  if (place === "contract-tasks") return "packages/core/testing/task-runner.contract.ts";
  if (place.startsWith("contract/")) return `packages/core/testing/${place}`;
  return place.startsWith("test/") ? place : `packages/${place}`;
}

const page = readFileSync(`${ROOT}docs/semantics.md`, "utf8");
const rows = [...page.matchAll(ROW)].map(
  ([, rule, place, name]) => ({ rule, place, name }) as Record<string, string>,
);

test("the page names a test for every rule", () => {
  const rules = page
    .split("## Exceptions")[0]!
    .split("\n")
    .filter((line) => /^\| (?!rule|---)/.test(line));
  expect(rows.length).toBeGreaterThan(60);
  expect(rows.length).toBe(rules.length);
});

test.each(rows)("$rule", ({ place, name }) => {
  const text = readFileSync(ROOT + fileOf(place!), "utf8");
  expect(text.includes(`"${name}"`)).toBe(true);
});
