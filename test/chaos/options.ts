import { parseArgs } from "node:util";
import { LOAD_KINDS, type LoadKind, loadOf } from "./loads.ts";
import type { Fsync } from "./redis.ts";
import { FAULT_KINDS, type FaultKind } from "./schedule.ts";

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly meanGapMs: number;
  readonly kinds: readonly FaultKind[];
  /** Which flows are run besides those of faults. */
  readonly loads: readonly LoadKind[];
  readonly fsync: Fsync;
  readonly workers: number;
  readonly programs: number;
  readonly lanes: number;
  readonly isJson: boolean;
  readonly isKept: boolean;
}

export const USAGE = `npm run test:chaos -- [flags]
  --minutes <n>     how long faults are caused (default: 3); the end takes up to two minutes more
  --seed <n>        makes the schedule of that seed again (default: a new one)
  --gap <seconds>   between two faults, on average (default: 2.5)
  --only <kinds>    faults of these kinds alone, separated by commas: ${FAULT_KINDS.join(", ")}
  --without <kinds> no faults of these kinds (default: redis-restart-empty)
  --loads <kinds>   flows of these kinds alone: ${LOAD_KINDS.join(", ")}
  --fsync <when>    appendfsync of Redis: always or everysec (default: everysec)
  --workers <n>     at most so many workers, of 2 threads each (default: 3)
  --programs <n>    programs that run flows (default: 2)
  --lanes <n>       flows at a time in each program (default: 3)
  --json            the figures as one line of JSON on standard output
  --keep            leaves logs and journals where they are, also when nothing is wrong`;

/** @throws when a flag is unknown, or its value is not one */
export function readOptions(args: readonly string[], newSeed: number): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "3" },
      seed: { type: "string", default: String(newSeed) },
      gap: { type: "string", default: "2.5" },
      only: { type: "string" },
      without: { type: "string" },
      loads: { type: "string" },
      fsync: { type: "string", default: "everysec" },
      workers: { type: "string", default: "3" },
      programs: { type: "string", default: "2" },
      lanes: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
    },
  });
  const { fsync, json, keep } = values;
  if (fsync !== "always" && fsync !== "everysec")
    throw new Error(`Expected always or everysec for --fsync, got ${fsync}.`);
  const only = kindsIn("--only", values.only, FAULT_KINDS) ?? FAULT_KINDS;
  const without =
    kindsIn("--without", values.without, FAULT_KINDS) ??
    (values.only === undefined ? ["redis-restart-empty"] : []);
  return {
    minutes: positive("--minutes", values.minutes),
    seed: positive("--seed", values.seed),
    meanGapMs: positive("--gap", values.gap) * 1000,
    kinds: only.filter((kind) => !without.includes(kind)),
    loads:
      kindsIn("--loads", values.loads, LOAD_KINDS) ?? LOAD_KINDS.filter((kind) => loadOf(kind).weight > 0),
    fsync,
    workers: positive("--workers", values.workers),
    programs: positive("--programs", values.programs),
    lanes: positive("--lanes", values.lanes),
    isJson: json,
    isKept: keep,
  };
}

function positive(flag: string, text: string): number {
  const number = Number(text);
  if (!(number > 0 && Number.isFinite(number)))
    throw new Error(`Expected a number above 0 for ${flag}, got ${text}.`);
  return number;
}

/** @param text kinds, separated by commas; "none" is no kind */
function kindsIn<Kind extends string>(
  flag: string,
  text: string | undefined,
  known: readonly Kind[],
): readonly Kind[] | undefined {
  const names = text?.split(",").filter((name) => name !== "none");
  return names?.map((name) => {
    const kind = known.find((other) => other === name);
    if (kind === undefined) throw new Error(`Expected some of ${known.join(", ")} for ${flag}, got ${name}.`);
    return kind;
  });
}
