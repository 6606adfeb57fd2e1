import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DEATHS_FILE, deathIn, noteDeath } from "./deaths.ts";

test("a death that is noted can be read", () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-deaths-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const before = Date.now();
  noteDeath(directory, "abort", 7, 2);
  noteDeath(directory, "endless", 8, 1);
  const [first = "", second = "", rest] = readFileSync(join(directory, DEATHS_FILE), "utf8").split("\n");
  expect(deathIn(first)).toEqual({ how: "abort", at: expect.any(Number), pid: 7, thread: 2 });
  expect(deathIn(first).at).toBeGreaterThanOrEqual(before);
  expect(deathIn(second)).toMatchObject({ how: "endless", pid: 8, thread: 1 });
  expect(rest).toBe("");
});
