/** The command line of the example. */

import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { flightsFile } from "./dataset.ts";

export const usage = `Usage: npm run demo -- [flags]

  --redis         run through Redis: a private redis-server, or the one that MILLRACE_REDIS_URL names
  --compare       run it a second time on one core (SequentialTaskRunner), and show the speed-up
  --output DIR    where the report is written (default: out/flights)
  --file FILE     another Parquet file with the columns date, delay and origin
  --parts N       read only the first N row groups
  --copies N      read the file N times over, as if it were N files: more work for more cores
  --help          show this
`;

export interface Options {
  readonly redis: boolean;
  readonly compare: boolean;
  readonly output: string;
  readonly file: string;
  readonly parts: number | undefined;
  readonly copies: number | undefined;
  readonly help: boolean;
}

/** A mistake on the command line: shown without a stack. */
export class UsageError extends Error {}

export function parseOptions(args: readonly string[]): Options {
  const values = parsed(args);
  return {
    redis: values.redis,
    compare: values.compare,
    output: resolve(values.output),
    file: values.file === undefined ? flightsFile() : resolve(values.file),
    parts: values.parts === undefined ? undefined : positiveInteger("--parts", values.parts),
    copies: values.copies === undefined ? undefined : positiveInteger("--copies", values.copies),
    help: values.help,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        redis: { type: "boolean", default: false },
        compare: { type: "boolean", default: false },
        output: { type: "string", default: "out/flights" },
        file: { type: "string" },
        parts: { type: "string" },
        copies: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    // Node's message names the flag; what follows its first sentence is about positional arguments, which we have none of.
    throw new UsageError((error as Error).message.split(". ")[0], { cause: error });
  }
}

function positiveInteger(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new UsageError(`${flag} takes a whole number from 1, not '${text}'`);
  return value;
}
