/** Draws a chart of lines as an SVG. Pure functions: no library, and the same figures give the same file. */

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** With the number of a color in the palette, so that a system has the same in every chart. */
  readonly series: readonly (Series & { readonly color: number })[];
}

const WIDTH = 640;
const HEIGHT = 360;
const PLOT = { left: 80, right: 460, top: 40, bottom: 310 };
/** Okabe and Ito's, which most people tell apart. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/** Values that differ by more than this are drawn on a logarithmic axis. */
const LINEAR_UP_TO = 15;

interface Axis {
  readonly ticks: readonly number[];
  /** Where a value is, from 0 to 1. */
  place(value: number): number;
}

export function drawChart({ title, xLabel, yLabel, series }: Chart): string {
  const all = series.flatMap(({ points }) => points);
  const sizes = [...new Set(all.map(([x]) => x))].sort((a, b) => a - b);
  const xAxis = ofSizes(sizes);
  const yAxis = axisOf(all.map(([, y]) => y));
  const x = (value: number) => round(PLOT.left + xAxis.place(value) * (PLOT.right - PLOT.left));
  const y = (value: number) => round(PLOT.bottom - yAxis.place(value) * (PLOT.bottom - PLOT.top));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(title, PLOT.left, 22, `font-size="14" font-weight="bold"`),
    ...yAxis.ticks.flatMap((tick) => [
      `<path d="M${PLOT.left} ${y(tick)}H${PLOT.right}" stroke="#ddd"/>`,
      text(formatTick(tick), PLOT.left - 8, y(tick) + 4, `text-anchor="end"`),
    ]),
    ...xAxis.ticks.flatMap((tick) => [
      `<path d="M${x(tick)} ${PLOT.bottom}v5" stroke="#333"/>`,
      text(formatTick(tick), x(tick), PLOT.bottom + 18, `text-anchor="middle"`),
    ]),
    `<path d="M${PLOT.left} ${PLOT.bottom}H${PLOT.right}" stroke="#333"/>`,
    text(xLabel, (PLOT.left + PLOT.right) / 2, PLOT.bottom + 38, `text-anchor="middle"`),
    text(yLabel, 0, 0, `text-anchor="middle" transform="translate(16 ${HEIGHT / 2}) rotate(-90)"`),
    ...series.flatMap(({ name, points, color: number }, index) => {
      const color = COLORS[number % COLORS.length];
      const line = points.map(([px, py]) => `${x(px)} ${y(py)}`).join("L");
      const height = PLOT.top + 12 + index * 20;
      return [
        `<path d="M${line}" fill="none" stroke="${color}" stroke-width="2"/>`,
        ...points.map(([px, py]) => `<circle cx="${x(px)}" cy="${y(py)}" r="3" fill="${color}"/>`),
        `<path d="M${PLOT.right + 12} ${height - 4}h16" stroke="${color}" stroke-width="2"/>`,
        text(name, PLOT.right + 34, height, ""),
      ];
    }),
    "</svg>",
    "",
  ].join("\n");
}

function axisOf(values: readonly number[]): Axis {
  const least = Math.min(...values);
  const most = Math.max(...values);
  return least > 0 && most / least > LINEAR_UP_TO ? logarithmic(least, most) : linear(most);
}

/** Sizes are multiples of each other, and there are few: each is a tick. */
function ofSizes(sizes: readonly number[]): Axis {
  const from = Math.log(sizes[0]!);
  const length = Math.log(sizes.at(-1)!) - from || 1;
  return { ticks: sizes, place: (value) => (Math.log(value) - from) / length };
}

/** From zero: a line that starts elsewhere makes small differences look large. */
function linear(most: number): Axis {
  const step = niceStep(most / 4);
  const end = Math.ceil(most / step) * step;
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, n) => n * step);
  return { ticks, place: (value) => value / end };
}

function logarithmic(least: number, most: number): Axis {
  const from = Math.floor(Math.log10(least) + 1e-9);
  const to = Math.max(from + 1, Math.ceil(Math.log10(most) - 1e-9));
  const ticks = Array.from({ length: to - from + 1 }, (_, n) => 10 ** (from + n));
  return { ticks, place: (value) => (Math.log10(value) - from) / (to - from) };
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
}

function formatTick(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 3 });
}

function text(content: string, x: number, y: number, attributes: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
