/** What we read of the file that `node --cpu-prof` writes. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface ProfileSummary {
  /** The part of the time in which the thread did something. */
  readonly busyPart: number;
  /** Files and libraries, with their part of the busy time, the largest first. */
  readonly places: readonly { readonly place: string; readonly part: number }[];
}

const IDLE = "(idle)";

export function summarize({ nodes, samples, timeDeltas }: CpuProfile): ProfileSummary {
  const placeOf = new Map(nodes.map(({ id, callFrame }) => [id, placeName(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, sample] of samples.entries()) {
    const place = placeOf.get(sample)!;
    times.set(place, (times.get(place) ?? 0) + timeDeltas[index]!);
  }
  const total = [...times.values()].reduce((a, b) => a + b, 0);
  const busy = total - (times.get(IDLE) ?? 0);
  const places = [...times]
    .filter(([place]) => place !== IDLE)
    .map(([place, time]) => ({ place, part: time / busy }))
    .sort((a, b) => b.part - a.part);
  return { busyPart: busy / total, places };
}

/** A file of ours, a library, a module of Node, or what V8 does by itself: "(garbage collector)", "(program)". */
function placeName({ functionName, url }: CpuProfile["nodes"][number]["callFrame"]): string {
  const path = url.replaceAll("\\", "/");
  const library = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  if (library !== undefined && !path.includes("/packages/")) return library;
  const own = /\/packages\/([^/]+)\/dist\/(.+?)\.c?js$/.exec(path);
  if (own !== null) return `${own[1]}/${own[2]}`;
  if (path.startsWith("node:")) return path;
  return path === "" ? functionName || "(native)" : path.replace(/^.*\//, "");
}
