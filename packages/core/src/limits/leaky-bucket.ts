/** Slots in use that come back at a steady rate, by themselves. */
export interface Level {
  /** How many were in use at `atMs`; a fraction is one on its way back. */
  readonly slots: number;
  readonly atMs: number;
  readonly decayPerSecond: number;
}

export const EMPTY: Level = { slots: 0, atMs: 0, decayPerSecond: 0 };

export function levelAt({ slots, atMs, decayPerSecond }: Level, nowMs: number): number {
  return Math.max(0, slots - ((nowMs - atMs) / 1000) * decayPerSecond);
}

/** The level with more slots in use. From now on they come back as fast as the newest request says. */
export function raised(level: Level, slots: number, decayPerSecond: number, nowMs: number): Level {
  return { slots: levelAt(level, nowMs) + slots, atMs: nowMs, decayPerSecond };
}

/** Whole milliseconds to wait until at most `most` slots are in use; 0 when that is so now. At most 24.8 days. */
export function msUntil(level: Level, most: number, nowMs: number): number {
  const excess = levelAt(level, nowMs) - most;
  if (excess <= 0) return 0;
  return Math.min(Math.ceil((excess / level.decayPerSecond) * 1000), LONGEST_TIMER_MS);
}

/** A longer timer fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
