/** What a task says about trying again. Durations are in seconds. */
export interface RetryPolicy {
  /** Attempts after the first. */
  readonly retries: number;
  /** One delay for all retries, or one per retry (the last repeats). */
  readonly retryDelaySeconds: number | readonly number[];
  /** 0: the delay as given. Otherwise delays vary around it, to at most delay × (1 + factor). */
  readonly retryJitterFactor: number;
}

/** The most delays that a list may hold, as in Prefect. */
export const MAX_RETRY_DELAYS = 50;

/**
 * Milliseconds to wait after failed attempt number `attempt` (counted from 1), or undefined when no attempt is left.
 *
 * @param random uniform in [0, 1)
 */
export function nextRetryDelayMs(
  policy: RetryPolicy,
  attempt: number,
  random: () => number,
): number | undefined {
  if (attempt > policy.retries) return undefined;
  const { retryDelaySeconds: delays } = policy;
  const seconds = typeof delays === "number" ? delays : (delays[Math.min(attempt, delays.length) - 1] ?? 0);
  return 1000 * withJitter(seconds, policy.retryJitterFactor, random);
}

/**
 * A delay drawn from the exponential distribution (the gaps of a Poisson process) with mean `seconds`, clamped to
 * seconds × [1 − factor, 1 + factor], so that runs that failed together do not come back together.
 */
function withJitter(seconds: number, factor: number, random: () => number): number {
  if (factor === 0 || seconds === 0) return seconds;
  const drawn = -seconds * Math.log(1 - random());
  return Math.min(Math.max(drawn, seconds * Math.max(0, 1 - factor)), seconds * (1 + factor));
}
