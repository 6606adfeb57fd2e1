/** One figure of a benchmark. */
export interface Figure {
  readonly measure: string;
  readonly system: string;
  readonly unit: string;
  readonly value: number;
}

/** Milliseconds that the work takes. */
export async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** The middle of the values: one slow run on a shared machine should not decide. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The median over `rounds` of what one round measures, after one round that warms up. */
export async function medianOf(rounds: number, measure: () => Promise<number>): Promise<number> {
  await measure();
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await measure());
  return median(values);
}
