import { processLogger } from "@millrace/core/internal";

/** Who sends what cannot be read sends a lot of it: a line for each would fill a disk, and take longer than the refusal. */
const QUIET_MS = 10_000;

/** Logs that something was refused: the first at once, then a line in ten seconds that counts the others. */
export class Refusals {
  readonly #lines = new Map<string, { at: number; suppressed: number }>();

  /** @param what the line of the log, one of a few */
  note(what: string, error: unknown, details: Readonly<Record<string, unknown>> = {}): void {
    const now = performance.now();
    const line = this.#lines.get(what);
    if (line !== undefined && now - line.at < QUIET_MS) {
      line.suppressed++;
      return;
    }
    const suppressed = line?.suppressed ?? 0;
    this.#lines.set(what, { at: now, suppressed: 0 });
    processLogger().error({ err: error, ...details, ...(suppressed > 0 && { suppressed }) }, what);
  }
}
