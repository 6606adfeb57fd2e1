/**
 * Exact histograms of delays, one for each airport and hour of the day, in typed arrays. Everything that the report
 * says follows from them without any estimate: the histogram of an airport is the sum over its hours, and so on.
 *
 * The form is canonical (airports sorted, delays ascending, no count of zero), so the same flights give the same bytes
 * whatever parts they came in and in whatever order the parts were merged.
 */

export const hoursPerDay = 24;

/** How often each delay occurred. */
export interface Histogram {
  /** Minutes, ascending and distinct. */
  readonly delays: Int16Array;
  /** How many flights had the delay at the same index; never zero. */
  readonly counts: Uint32Array;
}

/** A histogram for each airport and hour, one after the other in shared arrays. */
export interface HistogramTable extends Histogram {
  /** IATA codes, sorted. */
  readonly airports: readonly string[];
  /**
   * Cell `c = airport * 24 + hour` owns the entries from `starts[c]` to `starts[c + 1]`; one element longer than there
   * are cells.
   */
  readonly starts: Uint32Array;
}

/** Counts flights. The same index is the same flight in all three columns. */
export function countFlights(flights: {
  readonly origins: readonly string[];
  readonly hours: readonly number[];
  readonly delays: Int16Array;
}): HistogramTable {
  const { origins, hours, delays } = flights;
  const airports = [...new Set(origins)].sort();
  const indexOf = new Map(airports.map((airport, index) => [airport, index]));
  const { lowest, span } = rangeOf(delays);
  const cells = airports.length * hoursPerDay;
  if (cells * span > 2 ** 32)
    throw new RangeError(`too many airports (${airports.length}) for delays over ${span} minutes`);

  // One number per flight says its cell and its delay. Sorted, the equal ones are neighbours in the order wanted.
  const keys = new Uint32Array(origins.length);
  for (let i = 0; i < keys.length; i++) {
    const cell = indexOf.get(origins[i]!)! * hoursPerDay + hours[i]!;
    keys[i] = cell * span + (delays[i]! - lowest);
  }
  keys.sort();

  const writer = new TableWriter(airports, keys.length);
  for (let i = 0; i < keys.length; ) {
    const key = keys[i]!;
    let end = i + 1;
    while (end < keys.length && keys[end] === key) end++;
    writer.add(Math.floor(key / span), lowest + (key % span), end - i);
    i = end;
  }
  return writer.finish();
}

/** The histograms of the flights of both. */
export function mergeTables(left: HistogramTable, right: HistogramTable): HistogramTable {
  const airports = [...new Set([...left.airports, ...right.airports])].sort();
  const leftIndex = new Map(left.airports.map((airport, index) => [airport, index]));
  const rightIndex = new Map(right.airports.map((airport, index) => [airport, index]));
  const writer = new TableWriter(airports, left.delays.length + right.delays.length);
  airports.forEach((airport, index) => {
    for (let hour = 0; hour < hoursPerDay; hour++) {
      const a = cellRange(left, leftIndex.get(airport), hour);
      const b = cellRange(right, rightIndex.get(airport), hour);
      const cell = index * hoursPerDay + hour;
      while (a.next < a.end || b.next < b.end) {
        const delayA = a.next < a.end ? left.delays[a.next]! : Number.POSITIVE_INFINITY;
        const delayB = b.next < b.end ? right.delays[b.next]! : Number.POSITIVE_INFINITY;
        const delay = Math.min(delayA, delayB);
        let count = 0;
        if (delayA === delay) count += left.counts[a.next++]!;
        if (delayB === delay) count += right.counts[b.next++]!;
        writer.add(cell, delay, count);
      }
    }
  });
  return writer.finish();
}

/** The histogram of one airport and hour; shares memory with the table. */
export function cellHistogram(table: HistogramTable, airport: number, hour: number): Histogram {
  const { next, end } = cellRange(table, airport, hour);
  return { delays: table.delays.subarray(next, end), counts: table.counts.subarray(next, end) };
}

/** The histogram of one airport, all hours. */
export function airportHistogram(table: HistogramTable, airport: number): Histogram {
  return sum(Array.from({ length: hoursPerDay }, (_, hour) => cellHistogram(table, airport, hour)));
}

/** The histogram of one hour, all airports. */
export function hourHistogram(table: HistogramTable, hour: number): Histogram {
  return sum(table.airports.map((_, airport) => cellHistogram(table, airport, hour)));
}

/** How many flights a histogram holds. */
export function flightCount({ counts }: Histogram): number {
  let flights = 0;
  for (const count of counts) flights += count;
  return flights;
}

/** The mean delay; NaN of no flights. */
export function meanDelay({ delays, counts }: Histogram): number {
  let flights = 0;
  let minutes = 0;
  for (let i = 0; i < counts.length; i++) {
    flights += counts[i]!;
    minutes += counts[i]! * delays[i]!;
  }
  return minutes / flights;
}

/**
 * The exact percentile by **nearest rank**: the smallest delay that occurred such that at least `percent` per cent of
 * the flights had that delay or a smaller one. It is always a delay that occurred, never a value between two.
 */
export function percentileDelay(histogram: Histogram, percent: number): number {
  const { delays, counts } = histogram;
  // `percent * n / 100`, not `percent / 100 * n`: 0.95 is no binary fraction, and a rank must not be off by one.
  const rank = Math.max(1, Math.ceil((percent * flightCount(histogram)) / 100));
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    seen += counts[i]!;
    if (seen >= rank) return delays[i]!;
  }
  return Number.NaN;
}

/** Adds histograms up. */
function sum(histograms: readonly Histogram[]): Histogram {
  const filled = histograms.filter(({ delays }) => delays.length > 0);
  if (filled.length === 0) return { delays: new Int16Array(), counts: new Uint32Array() };
  const lowest = Math.min(...filled.map(({ delays }) => delays[0]!));
  const highest = Math.max(...filled.map(({ delays }) => delays.at(-1)!));
  const totals = new Uint32Array(highest - lowest + 1);
  for (const { delays, counts } of filled) {
    for (let i = 0; i < counts.length; i++) totals[delays[i]! - lowest]! += counts[i]!;
  }
  const found: number[] = [];
  totals.forEach((count, offset) => {
    if (count > 0) found.push(offset);
  });
  return {
    delays: Int16Array.from(found, (offset) => lowest + offset),
    counts: Uint32Array.from(found, (offset) => totals[offset]!),
  };
}

/** The lowest delay, and how many whole minutes there are from it to the highest. */
function rangeOf(delays: Int16Array): { lowest: number; span: number } {
  let lowest = delays[0] ?? 0;
  let highest = lowest;
  for (let i = 1; i < delays.length; i++) {
    lowest = Math.min(lowest, delays[i]!);
    highest = Math.max(highest, delays[i]!);
  }
  return { lowest, span: highest - lowest + 1 };
}

function cellRange(
  table: HistogramTable,
  airport: number | undefined,
  hour: number,
): { next: number; end: number } {
  if (airport === undefined) return { next: 0, end: 0 };
  const cell = airport * hoursPerDay + hour;
  return { next: table.starts[cell]!, end: table.starts[cell + 1]! };
}

/** Takes the entries of a table in ascending order of cell and delay. */
class TableWriter {
  readonly #airports: readonly string[];
  readonly #starts: Uint32Array;
  readonly #delays: Int16Array;
  readonly #counts: Uint32Array;
  #length = 0;

  constructor(airports: readonly string[], capacity: number) {
    this.#airports = airports;
    this.#starts = new Uint32Array(airports.length * hoursPerDay + 1);
    this.#delays = new Int16Array(capacity);
    this.#counts = new Uint32Array(capacity);
  }

  add(cell: number, delay: number, count: number): void {
    this.#delays[this.#length] = delay;
    this.#counts[this.#length] = count;
    this.#length++;
    this.#starts[cell + 1]!++;
  }

  /** Copies what was written: a view would drag the spare capacity along when it travels between tasks. */
  finish(): HistogramTable {
    const starts = this.#starts;
    for (let cell = 1; cell < starts.length; cell++) starts[cell]! += starts[cell - 1]!;
    return {
      airports: this.#airports,
      starts,
      delays: this.#delays.slice(0, this.#length),
      counts: this.#counts.slice(0, this.#length),
    };
  }
}
