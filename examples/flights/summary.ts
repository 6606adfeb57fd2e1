/** What the report says, as plain rows: computed from the histograms, shown by report.ts and chart.ts. */

import {
  airportHistogram,
  cellHistogram,
  flightCount,
  type Histogram,
  type HistogramTable,
  hourHistogram,
  hoursPerDay,
  meanDelay,
  percentileDelay,
} from "./histogram.ts";

/** Arrival delays in minutes; negative: early. */
export interface Delays {
  readonly flights: number;
  readonly mean: number;
  /** The 95th percentile, exact, by nearest rank: see `percentileDelay`. */
  readonly p95: number;
}

export interface AirportRow extends Delays {
  readonly airport: string;
}

export interface HourRow extends Delays {
  readonly hour: number;
}

export interface AirportHourRow extends Delays {
  readonly airport: string;
  readonly hour: number;
}

/** Rows without a flight are left out. */
export interface Summary {
  readonly flights: number;
  /** The busiest first. */
  readonly airports: readonly AirportRow[];
  readonly hours: readonly HourRow[];
  /** In the order of `airports`, then of the hours. */
  readonly airportHours: readonly AirportHourRow[];
}

export function summarize(table: HistogramTable): Summary {
  const hours = Array.from({ length: hoursPerDay }, (_, hour) => hour);
  const airports = table.airports
    .map((airport, index) => ({ airport, index, ...delaysOf(airportHistogram(table, index)) }))
    .sort((a, b) => b.flights - a.flights || (a.airport < b.airport ? -1 : 1));
  return {
    flights: flightCount(table),
    airports: airports.map(({ index: _, ...row }) => row),
    hours: hours.map((hour) => ({ hour, ...delaysOf(hourHistogram(table, hour)) })).filter(hasFlights),
    airportHours: airports.flatMap(({ airport, index }) =>
      hours
        .map((hour) => ({ airport, hour, ...delaysOf(cellHistogram(table, index, hour)) }))
        .filter(hasFlights),
    ),
  };
}

const delaysOf = (histogram: Histogram): Delays => ({
  flights: flightCount(histogram),
  mean: meanDelay(histogram),
  p95: percentileDelay(histogram, 95),
});

const hasFlights = (row: Delays): boolean => row.flights > 0;
