/** What tune.ts tells the hooks in each process and thread. */
export interface Override {
  /** Of the built file. */
  readonly url: string;
  readonly constant: string;
  readonly value: string;
  /** A line is written to it by each process and thread that loads the file: the process's id. */
  readonly loadedFile: string;
}

export function initialize(override: Override): void;

interface Loaded {
  readonly source: string | Uint8Array;
}

/** As Node calls it: `nextLoad` reads the file. */
export function load<Context>(
  url: string,
  context: Context,
  nextLoad: (url: string, context: Context) => Promise<Loaded>,
): Promise<Loaded>;

export function rewriteConstant(
  source: string,
  constant: string,
  value: string,
): { readonly source: string; readonly before: string };
