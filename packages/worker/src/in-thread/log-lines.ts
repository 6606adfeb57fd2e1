/**
 * Log lines wait at most this long for the outcome of their call. Nobody who watches sees it; and twenty reports a second, of 0.1 to
 * 0.2 ms (outbox.ts), are 0.4 % of a core at most.
 */
const LOG_FLUSH_MS = 50;

/** And so many of them make a report: one of megabytes would hold up others, and be more than may wait for a flow that is slow. */
const LOG_FLUSH_CHARACTERS = 256 * 1024;

/**
 * A longer line is shortened. So what a report has of lines is below 6 MiB, with three bytes for a character at most: a message above
 * 256 MiB is refused at the other end, and what else the report has would be lost with it.
 */
const MOST_LINE_CHARACTERS = 1024 * 1024;

/** What is kept of each field of a line that is too long. */
const KEPT_CHARACTERS = 1_000;

/** The lines that this thread has logged and not sent. */
export class LogLines {
  #text = "";
  #lastTaken = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #before: () => void;
  readonly #flush: () => void;

  /** `before` is called before each line, `flush` when lines should wait no longer. */
  constructor({ before, flush }: { readonly before: () => void; readonly flush: () => void }) {
    this.#before = before;
    this.#flush = flush;
  }

  write(line: string): void {
    this.#before();
    this.#text += line.length > MOST_LINE_CHARACTERS ? shortened(line) : line;
    // A call that computes gives timers no chance, so an old buffer goes out at once.
    const isDue =
      this.#text.length > LOG_FLUSH_CHARACTERS || performance.now() - this.#lastTaken > LOG_FLUSH_MS;
    if (isDue) this.#flush();
    else this.#timer ??= setTimeout(this.#flush, LOG_FLUSH_MS);
  }

  take(): string {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastTaken = performance.now();
    const text = this.#text;
    this.#text = "";
    return text;
  }
}

/** A line that still says whose it is, and begins with what it has to say. */
function shortened(line: string): string {
  const { msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(msg === undefined ? rest : { msg, ...rest }); // First: it is last in the line, and has most to say.
  const kept: Record<string, unknown> = { shortened: `from ${line.length} characters` };
  let length = 0;
  for (const [key, value] of fields) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    length += key.length + Math.min(text.length, KEPT_CHARACTERS);
    if (length > MOST_LINE_CHARACTERS / 6) break; // A character that JSON escapes takes six.
    kept[key] = text.length > KEPT_CHARACTERS ? `${text.slice(0, KEPT_CHARACTERS)}…` : value;
  }
  return `${JSON.stringify(kept)}\n`;
}
