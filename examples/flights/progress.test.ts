import { describe, expect, it } from "vitest";
import { showProgress } from "./progress.ts";

function progressOn(isTTY: boolean, total: number): string {
  let written = "";
  const progress = showProgress("local", { isTTY, write: (text) => (written += text) });
  for (let done = 1; done <= total; done++) progress.update(done, total);
  progress.end();
  return written;
}

describe("showProgress", () => {
  it("rewrites one line on a terminal", () => {
    const written = progressOn(true, 4);
    expect(written.split("\n")).toHaveLength(2);
    expect(written.split("\r").slice(1)).toHaveLength(4);
    expect(written).toContain("4 of 4 parts");
  });

  it("writes a line at each quarter elsewhere", () => {
    expect(progressOn(false, 11)).toBe(
      "local: 3 of 11 parts\nlocal: 6 of 11 parts\nlocal: 9 of 11 parts\nlocal: 11 of 11 parts\n",
    );
  });
});
