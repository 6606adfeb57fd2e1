/**
 * The report as one picture: a heat map of the busiest airports by hour, the hours above it and the airports beside
 * it, on shared axes. Drawn by Vega-Lite, with no browser and no native library.
 */

import { parse, resetSVGDefIds, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { AirportNames } from "./dataset.ts";
import { airportsShown, hourLabel, reportNotes, reportTitle } from "./report.ts";
import type { Delays, Summary } from "./summary.ts";

/** The cell of an airport and an hour with fewer flights tells more of chance than of the airport: it stays empty. */
const fewestFlights = 20;

/** From this 95th percentile on (minutes) the heat map has one colour: a few hours of the night would take them all. */
const hottest = 180;

const ink = "#1f2933";
const faint = "#616e7c";
const grid = "#e4e7eb";
const empty = "#f5f7fa";
const flightsColor = "#9aa5b1";
const measures = { domain: ["Mean", "95th percentile"], range: ["#2b6cb0", "#c2410c"] };
const size = { hourWidth: 26, airportHeight: 22, flightsHeight: 64, delaysHeight: 130, airportsWidth: 240 };
/** Puts the titles of the two y axes above each other. */
const sameExtent = { minExtent: 56, maxExtent: 56 };
const hours = Array.from({ length: 24 }, (_, hour) => hourLabel(hour));

/** The chart as the text of an SVG file. The same summary gives the same bytes. */
export async function drawChart(summary: Summary, names: AirportNames): Promise<string> {
  resetSVGDefIds();
  const view = new View(parse(compile(chartSpec(summary, names)).spec), { renderer: "none" });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

function chartSpec(summary: Summary, names: AirportNames): TopLevelSpec {
  const busiest = summary.airports.slice(0, airportsShown);
  const places = new Map(busiest.map(({ airport }) => [airport, placeLabel(airport, names)]));
  const height = busiest.length * size.airportHeight;
  const width = hours.length * size.hourWidth;

  const byHour = summary.hours.map((row) => ({ ...row, hour: hourLabel(row.hour) }));
  const byAirport = busiest.map((row) => ({ ...row, place: places.get(row.airport) }));
  const byBoth = summary.airportHours
    .filter((row) => places.has(row.airport) && row.flights >= fewestFlights)
    .map((row) => ({ ...row, place: places.get(row.airport), hour: hourLabel(row.hour) }));

  const hour = { field: "hour", type: "ordinal", scale: { domain: hours } } as const;
  const bareHour = { ...hour, axis: { title: null, labels: false, ticks: false } } as const;
  const place = { field: "place", type: "ordinal" as const, scale: { domain: [...places.values()] } };
  const measure = { field: "measure", type: "nominal", scale: measures } as const;

  return {
    title: {
      text: reportTitle(summary),
      subtitle: [reportNotes.delays, `${reportNotes.percentile} Grey: fewer than ${fewestFlights} flights.`],
    },
    vconcat: [
      {
        width,
        height: size.flightsHeight,
        data: { values: byHour },
        mark: { type: "bar", color: flightsColor },
        encoding: {
          x: bareHour,
          y: {
            field: "flights",
            type: "quantitative",
            axis: { title: "Flights", tickCount: 3, ...sameExtent },
          },
        },
      },
      {
        width,
        height: size.delaysHeight,
        data: { values: byHour.flatMap(onePerMeasure) },
        encoding: { x: bareHour, color: { ...measure, legend: null } },
        layer: [
          {
            mark: { type: "line", point: { size: 30 }, strokeWidth: 2 },
            encoding: {
              y: {
                field: "minutes",
                type: "quantitative",
                axis: { title: "Delay (minutes)", tickCount: 5, ...sameExtent },
              },
            },
          },
          {
            transform: [{ filter: { field: "hour", equal: hours.at(-1)! } }],
            mark: { type: "text", align: "left", dx: 10, fontSize: 12, fontWeight: 600 },
            encoding: { y: { field: "minutes", type: "quantitative" }, text: { field: "measure" } },
          },
        ],
      },
      {
        bounds: "flush",
        spacing: 16,
        hconcat: [
          {
            width,
            height,
            data: { values: byBoth },
            view: { fill: empty },
            mark: { type: "rect", stroke: "white", strokeWidth: 1 },
            encoding: {
              x: {
                ...hour,
                axis: { title: "Hour of departure", labelAngle: 0, labelExpr: "slice(datum.value, 0, 2)" },
              },
              y: { ...place, axis: { title: null } },
              color: {
                field: "p95",
                type: "quantitative",
                scale: { scheme: "yelloworangered", domain: [0, hottest], clamp: true },
                legend: {
                  title: "95th percentile of delay (minutes)",
                  values: [0, 60, 120, hottest],
                  labelExpr: `datum.value < ${hottest} ? datum.label : '${hottest} or more'`,
                  labelOverlap: false,
                  gradientLength: 320,
                },
              },
            },
          },
          {
            width: size.airportsWidth,
            height,
            encoding: { y: { ...place, axis: null } },
            layer: [
              {
                data: { values: byAirport },
                mark: { type: "rule", color: grid, strokeWidth: 3 },
                encoding: { x: { field: "mean", type: "quantitative" }, x2: { field: "p95" } },
              },
              {
                data: { values: byAirport.flatMap(onePerMeasure) },
                mark: { type: "point", filled: true, size: 70, opacity: 1 },
                encoding: {
                  x: {
                    field: "minutes",
                    type: "quantitative",
                    axis: { title: "Delay, all hours (minutes)", tickCount: 5 },
                  },
                  color: { ...measure, legend: { title: null } },
                },
              },
            ],
          },
        ],
        resolve: { scale: { color: "independent" } },
      },
    ],
    resolve: { scale: { color: "independent" } },
    bounds: "flush",
    spacing: 16,
    padding: 24,
    background: "white",
    config: theme,
  };
}

const theme: NonNullable<TopLevelSpec["config"]> = {
  font: "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif",
  view: { stroke: null },
  title: {
    anchor: "start",
    offset: 24,
    fontSize: 20,
    fontWeight: 600,
    color: ink,
    subtitleFontSize: 13,
    subtitleColor: faint,
    subtitlePadding: 8,
    subtitleLineHeight: 18,
  },
  axis: {
    labelColor: ink,
    labelFontSize: 12,
    // Without a canvas Vega guesses the width of a text, too wide: the default limits would cut labels short.
    labelLimit: 400,
    titleColor: faint,
    titleFontSize: 12,
    titleFontWeight: 500,
    titlePadding: 8,
    domainColor: grid,
    gridColor: grid,
    tickColor: grid,
  },
  legend: {
    orient: "bottom",
    direction: "horizontal",
    labelColor: ink,
    labelFontSize: 12,
    labelLimit: 400,
    titleColor: faint,
    titleFontSize: 12,
    titleFontWeight: 500,
    titleLimit: 400,
  },
};

/** `Chicago ORD`. */
function placeLabel(airport: string, names: AirportNames): string {
  const city = names.get(airport)?.split(",")[0];
  return city === undefined ? airport : `${city} ${airport}`;
}

/** A row with two delays as two rows with one. */
function onePerMeasure<Row extends Delays>(row: Row) {
  return measures.domain.map((measure, index) => ({
    ...row,
    measure,
    minutes: index === 0 ? row.mean : row.p95,
  }));
}
