import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  airportHistogram,
  cellHistogram,
  countFlights,
  flightCount,
  type Histogram,
  type HistogramTable,
  hourHistogram,
  meanDelay,
  mergeTables,
  percentileDelay,
} from "./histogram.ts";

type Flight = readonly [origin: string, hour: number, delay: number];

const tableOf = (flights: readonly Flight[]): HistogramTable =>
  countFlights({
    origins: flights.map(([origin]) => origin),
    hours: flights.map(([, hour]) => hour),
    delays: Int16Array.from(flights, ([, , delay]) => delay),
  });

/** The histogram of some delays. */
const histogramOf = (...delays: number[]): Histogram =>
  airportHistogram(tableOf(delays.map((delay) => ["AAA", 0, delay])), 0);

/** One delay for each flight, ascending. */
const delaysOf = ({ delays, counts }: Histogram): number[] =>
  [...delays].flatMap((delay, i) => new Array<number>(counts[i]!).fill(delay));

const ascending = (a: number, b: number): number => a - b;

const flight = fc.tuple(
  fc.constantFrom("ATL", "BOS", "DEN", "ORD", "SEA"),
  fc.integer({ min: 0, max: 23 }),
  fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: -20, max: 40 }) },
    fc.integer({ min: -1500, max: 1800 }),
  ),
);
const flightsOf = (maxLength: number) => fc.array(flight, { maxLength });

describe("countFlights", () => {
  it("keeps each airport and hour apart, in canonical order", () => {
    const table = tableOf([
      ["ORD", 7, 12],
      ["ATL", 23, -3],
      ["ORD", 7, -5],
      ["ORD", 7, 12],
      ["ORD", 8, 0],
    ]);
    expect(table.airports).toEqual(["ATL", "ORD"]);
    expect([...table.delays]).toEqual([-3, -5, 12, 0]);
    expect([...table.counts]).toEqual([1, 1, 2, 1]);
    expect(delaysOf(cellHistogram(table, 0, 23))).toEqual([-3]);
    expect(delaysOf(cellHistogram(table, 1, 7))).toEqual([-5, 12, 12]);
    expect(delaysOf(cellHistogram(table, 1, 9))).toEqual([]);
  });

  it("gives an empty table for no flights", () => {
    expect(flightCount(tableOf([]))).toBe(0);
  });

  it("groups like a plain filter, whatever the flights", () => {
    fc.assert(
      fc.property(flightsOf(200), (flights) => {
        const table = tableOf(flights);
        const expected = (keep: (flight: Flight) => boolean) =>
          flights
            .filter(keep)
            .map(([, , delay]) => delay)
            .sort(ascending);
        table.airports.forEach((airport, index) => {
          expect(delaysOf(airportHistogram(table, index))).toEqual(
            expected(([origin]) => origin === airport),
          );
        });
        for (let hour = 0; hour < 24; hour++) {
          expect(delaysOf(hourHistogram(table, hour))).toEqual(expected(([, h]) => h === hour));
        }
      }),
    );
  });
});

describe("mergeTables", () => {
  it("gives the same bytes as counting all flights at once", () => {
    fc.assert(
      fc.property(flightsOf(100), flightsOf(100), (a, b) => {
        expect(mergeTables(tableOf(a), tableOf(b))).toEqual(tableOf([...a, ...b]));
      }),
    );
  });

  it("is commutative and associative", () => {
    fc.assert(
      fc.property(flightsOf(60), flightsOf(60), flightsOf(60), (x, y, z) => {
        const [a, b, c] = [tableOf(x), tableOf(y), tableOf(z)];
        expect(mergeTables(a, b)).toEqual(mergeTables(b, a));
        expect(mergeTables(mergeTables(a, b), c)).toEqual(mergeTables(a, mergeTables(b, c)));
      }),
    );
  });

  it("has the empty table as its neutral element", () => {
    const table = tableOf([["DEN", 3, 60]]);
    expect(mergeTables(table, tableOf([]))).toEqual(table);
  });

  it("keeps no more memory than its entries need", () => {
    const table = tableOf([["DEN", 3, 60]]);
    expect(mergeTables(table, table).delays.buffer.byteLength).toBe(2);
  });
});

describe("percentileDelay", () => {
  it.each([
    { delays: [7], percent: 95, expected: 7 },
    { delays: [1, 2], percent: 50, expected: 1 },
    { delays: [1, 2], percent: 51, expected: 2 },
    { delays: [15, 20, 35, 40, 50], percent: 30, expected: 20 },
    { delays: [15, 20, 35, 40, 50], percent: 40, expected: 20 },
    { delays: [15, 20, 35, 40, 50], percent: 100, expected: 50 },
    { delays: [15, 20, 35, 40, 50], percent: 0, expected: 15 },
    { delays: Array.from({ length: 20 }, (_, i) => i + 1), percent: 95, expected: 19 },
    { delays: Array.from({ length: 21 }, (_, i) => i + 1), percent: 95, expected: 20 },
    { delays: Array.from({ length: 1000 }, (_, i) => i + 1), percent: 95, expected: 950 },
  ])("of $delays.length delays, $percent per cent: $expected", ({ delays, percent, expected }) => {
    expect(percentileDelay(histogramOf(...delays), percent)).toBe(expected);
  });

  it("is NaN of no flights", () => {
    expect(percentileDelay(histogramOf(), 95)).toBeNaN();
  });

  it("agrees with sorting all delays and taking the one at the nearest rank", () => {
    const someDelays = fc.array(fc.integer({ min: -90, max: 400 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(someDelays, fc.integer({ min: 1, max: 100 }), (delays, percent) => {
        const sorted = [...delays].sort(ascending);
        const nearestRank = sorted.find((_, i) => (i + 1) * 100 >= percent * sorted.length);
        expect(percentileDelay(histogramOf(...delays), percent)).toBe(nearestRank);
      }),
    );
  });
});

describe("meanDelay", () => {
  it.each([
    { delays: [4], expected: 4 },
    { delays: [-10, 0, 40], expected: 10 },
    { delays: [-3, -3, -3, 5], expected: -1 },
  ])("of $delays: $expected", ({ delays, expected }) => {
    expect(meanDelay(histogramOf(...delays))).toBe(expected);
  });

  it("is NaN of no flights", () => {
    expect(meanDelay(histogramOf())).toBeNaN();
  });
});
