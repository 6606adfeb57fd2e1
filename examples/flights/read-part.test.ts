import { describe, expect, it } from "vitest";
import { flightsFile, readAirportNames } from "./dataset.ts";
import { listParts, readPart } from "./read-part.ts";

describe("the flights file", () => {
  it("has 11 parts that hold its three million rows", async () => {
    const parts = await listParts(flightsFile());
    expect(parts).toHaveLength(11);
    expect(parts[0]?.rowStart).toBe(0);
    expect(parts.at(-1)?.rowEnd).toBe(3_000_000);
    parts.slice(1).forEach((part, i) => {
      expect(part.rowStart).toBe(parts[i]?.rowEnd);
    });
  });

  it("gives a part as columns of equal length, of known airports and real hours", async () => {
    const [, part] = await listParts(flightsFile());
    const { origins, hours, delays } = await readPart(flightsFile(), part!);
    const rows = part!.rowEnd - part!.rowStart;
    expect([origins.length, hours.length, delays.length]).toEqual([rows, rows, rows]);
    expect([...new Set(hours)].sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, hour) => hour));
    const names = await readAirportNames();
    expect([...new Set(origins)].filter((origin) => !names.has(origin))).toEqual([]);
  });
});
