/**
 * The family of intervals by which life and death are told. The first is chosen; the others follow from it.
 *
 * A worker that died without a nanny is found within HEARTBEAT_TTL_MS + SWEEP_MS, 6 s: design.md allows 10 s.
 */
export const HEARTBEAT_MS = 1_000;

/** A heartbeat may be late by four intervals: a busy machine's event loop is, now and then. */
export const HEARTBEAT_TTL_MS = 5 * HEARTBEAT_MS;

/** How long it is told why a worker died: a runner that is connected again looks after a heartbeat's life. */
export const DEATH_NOTE_MS = 2 * HEARTBEAT_TTL_MS;

/** The set of workers goes with the last of them, however they died. */
export const WORKERS_TTL_MS = 2 * HEARTBEAT_TTL_MS;

/** How often a runner looks whether those that hold its batches live. */
export const SWEEP_MS = HEARTBEAT_MS;

/** The right to run a delivery: BullMQ's lock. Longer than a heartbeat's life, so that the heartbeat decides. */
export const LEASE_MS = 3 * HEARTBEAT_TTL_MS;
export const LEASE_RENEWAL_MS = LEASE_MS / 3;

/**
 * How long a call that is to run alone waits for a worker that becomes quiet, while all have calls that go on for hours, say. Then it has company.
 * Long beside most calls, since its company is run again when it kills.
 */
export const ALONE_PATIENCE_MS = 30_000;

/** How long a doubt about a batch must last: its last report may be on the way. */
export const DOUBT_MS = SWEEP_MS / 2;

/** How long leaving may take, all its steps together. What could not be told to a Redis that is away, it learns when times to live run out. */
export const LEAVE_MS = 2_000;

/**
 * The right of a flow's process to have its calls run. When it dies, workers stop them, and drop those that wait, within this and
 * one renewal: 20 s. A thread of its own renews it, so a flow may compute for as long as it likes.
 */
export const RUNNER_LEASE_MS = 3 * HEARTBEAT_TTL_MS;
export const RUNNER_LEASE_RENEWAL_MS = RUNNER_LEASE_MS / 3;

/** What a runner or a worker leaves in Redis when it dies disappears after this: a little later than its lease. */
export const STREAM_TTL_MS = RUNNER_LEASE_MS + RUNNER_LEASE_RENEWAL_MS;
export const STREAM_RENEWAL_MS = RUNNER_LEASE_RENEWAL_MS;

/** Slots of a limit, a place in its line, and the right to compute a result go with a process that died after this. */
export const HOLD_TTL_MS = 10_000;
export const HOLD_RENEWAL_MS = HOLD_TTL_MS / 4;

/**
 * Holders are kept for longer than their leases: Redis takes away what has a time to live by its wall clock, and where that is set forward, or
 * the machine slept, it would forget those that live.
 */
export const HOLD_KEPT_MS = 24 * 3_600_000;
