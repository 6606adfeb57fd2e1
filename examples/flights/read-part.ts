/**
 * Reads the Parquet file, one row group at a time.
 *
 * A row group is the unit of work, and is not split further: in this file each column of a row group is one single
 * page, which can only be decoded whole, and decoding is nearly all of the work. Two tasks that shared a row group
 * would both decode all of it.
 */

import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";

/** One row group: what one task reads. */
export interface Part {
  readonly rowStart: number;
  readonly rowEnd: number;
}

/** The columns of one part that the report needs. The same index is the same flight in all three. */
export interface FlightColumns {
  /** IATA code of the airport of departure. */
  readonly origins: readonly string[];
  /** Hour of the day of the actual departure, local time: 0 to 23. */
  readonly hours: readonly number[];
  /** Arrival delay in minutes; negative: early. */
  readonly delays: Int16Array;
}

/** The row groups of a file, in its order. */
export async function listParts(file: string): Promise<Part[]> {
  const metadata = await parquetMetadataAsync(await asyncBufferFromFile(file));
  let rowStart = 0;
  return metadata.row_groups.map((group) => {
    const part = { rowStart, rowEnd: rowStart + Number(group.num_rows) };
    rowStart = part.rowEnd;
    return part;
  });
}

const microsecondsPerHour = 3_600_000_000n;

/**
 * Decodes the three columns of one part. Dates become hours while they are decoded: once per distinct date. A flight
 * with no departure or no arrival (cancelled, diverted) has no delay, and is left out.
 */
export async function readPart(file: string, part: Part): Promise<FlightColumns> {
  const pages: Record<string, ArrayLike<unknown>[]> = { date: [], delay: [], origin: [] };
  await parquetRead({
    file: await asyncBufferFromFile(file),
    columns: Object.keys(pages),
    rowStart: part.rowStart,
    rowEnd: part.rowEnd,
    compressors,
    parsers: { timestampFromMicroseconds: (time: bigint) => Number((time / microsecondsPerHour) % 24n) },
    onChunk: ({ columnName, columnData }) => pages[columnName]?.push(columnData),
  });
  const hours = joined<number>(pages.date!);
  const delays = joined<bigint>(pages.delay!);
  const origins = joined<string>(pages.origin!);
  const isComplete = (_: unknown, i: number) => hours[i] != null && delays[i] != null && origins[i] != null;
  if (hours.every(isComplete)) return { origins, hours, delays: minutes(delays) };
  return {
    origins: origins.filter(isComplete),
    hours: hours.filter(isComplete),
    delays: minutes(delays.filter(isComplete)),
  };
}

/** One array of all pages; the array itself when there is only one. */
function joined<T>(pages: readonly ArrayLike<unknown>[]): readonly T[] {
  if (pages.length === 1 && Array.isArray(pages[0])) return pages[0];
  return pages.flatMap((page) => Array.from(page)) as T[];
}

function minutes(delays: readonly bigint[]): Int16Array {
  const result = new Int16Array(delays.length);
  for (let i = 0; i < result.length; i++) {
    const delay = Number(delays[i]);
    result[i] = delay;
    if (result[i] !== delay) throw new RangeError(`a delay of ${delay} minutes does not fit 16 bits`);
  }
  return result;
}
