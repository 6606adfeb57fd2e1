import { describe, expect, it } from "vitest";
import { countFlights } from "./histogram.ts";
import { renderCsv, renderTables } from "./report.ts";
import { summarize } from "./summary.ts";

const names = new Map([
  ["ORD", "Chicago, IL"],
  ["ATL", "Atlanta, GA"],
]);

const summary = summarize(
  countFlights({
    origins: ["ORD", "ATL", "ORD", "XXX", "ORD"],
    hours: [7, 7, 7, 23, 9],
    delays: Int16Array.of(10, -4, 25, 120, -5),
  }),
);

describe("summarize", () => {
  it("puts the busiest airport first, and equal ones in the order of their codes", () => {
    expect(summary.airports).toEqual([
      { airport: "ORD", flights: 3, mean: 10, p95: 25 },
      { airport: "ATL", flights: 1, mean: -4, p95: -4 },
      { airport: "XXX", flights: 1, mean: 120, p95: 120 },
    ]);
  });

  it("leaves out hours without a flight", () => {
    expect(summary.hours.map(({ hour }) => hour)).toEqual([7, 9, 23]);
  });
});

describe("renderCsv", () => {
  const files = renderCsv(summary, names);

  it("has a row for each airport, with the place quoted where it holds a comma", () => {
    expect(files.get("airports.csv")).toBe(
      [
        "airport,place,flights,mean_delay_minutes,p95_delay_minutes",
        'ORD,"Chicago, IL",3,10.000,25',
        'ATL,"Atlanta, GA",1,-4.000,-4',
        "XXX,,1,120.000,120",
        "",
      ].join("\n"),
    );
  });

  it("has a row for each hour, and for each airport and hour", () => {
    expect(files.get("hours.csv")?.split("\n")[1]).toBe("7,3,10.333,25");
    expect(files.get("airport-hours.csv")?.split("\n").slice(1, 3)).toEqual([
      "ORD,7,2,17.500,25",
      "ORD,9,1,-5.000,-5",
    ]);
  });
});

describe("renderTables", () => {
  it("lines the columns up and says what the figures mean", () => {
    const text = renderTables(summary, names);
    expect(text).toContain("5 US flights");
    expect(text).toContain("  ORD      Chicago, IL        3        10.0               25\n");
    expect(text).toContain("  XXX                         1       120.0              120\n");
    expect(text).toContain("nearest rank");
  });
});
