/** Milliseconds that the work takes. */
export async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** The milliseconds of each of `count` times, one after the other. */
export async function eachElapsedMs(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const values: number[] = [];
  for (let n = 0; n < count; n++) values.push(await elapsedMs(work));
  return values;
}

/** The middle of the values: one slow run on a shared machine should not decide. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value that `part` of the values do not exceed. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** Numbers in [0, 1) that are the same in every run: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** In another order, which is the same in every run. */
export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const result = [...values];
  for (let n = result.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [result[n], result[other]] = [result[other]!, result[n]!];
  }
  return result;
}
