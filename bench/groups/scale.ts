import { Redis } from "ioredis";
import { runChild } from "../child.ts";
import { withPrivateRedis } from "../private-redis.ts";
import { type Group, Rounds } from "./group.ts";

const ROUNDS = 3;
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
/** The cost of a task in a larger flow is told as a multiple of this one's: below it, starting up is most of it. */
const BASE = 100_000;

const RATE = "tasks per second";
const COST = "cost per task, multiple of that at 100,000";
const GROWTH = "cost per task of the second half, multiple of that of the second tenth";
const MEMORY = "most memory of the flow's process";
const REDIS_MEMORY = "most memory of Redis";

/** In a loop of submits, by `map`, and by `map` over an async iterable: see scale-child.js. */
type Way = "loop" | "map" | "stream";

interface Run {
  readonly elapsedMs: number;
  /** Cost per task of the second half of the flow, as a multiple of that of its second tenth. Of a loop of submits only. */
  readonly growth?: number;
  readonly mostBytes: number;
  readonly mostRedisBytes?: number;
}

/** One flow of ever more no-op tasks, each size in a fresh process: does a task's cost stay, and how much memory is it? */
export const scale: Group = {
  name: "scale",
  async run(bench) {
    const rounds = new Rounds();
    const wantsOneOf = (measures: readonly string[]) => measures.some((measure) => bench.wants({ measure }));
    const isLoopWanted = wantsOneOf([RATE, COST, GROWTH, MEMORY, REDIS_MEMORY]);
    const most = bench.isQuick ? SIZES[1]! : SIZES.at(-1)!;
    const loops = isLoopWanted ? SIZES.filter((tasks) => tasks <= most) : [];
    for (let round = 0; round < bench.rounds(ROUNDS); round++) {
      for (const [system, measure] of [
        ["Millrace, embedded", runEmbedded],
        ["Millrace, Redis", runOnRedis],
      ] as const) {
        if (!bench.wants({ system })) continue;
        let baseMs = Number.NaN;
        for (const tasks of loops) {
          bench.progress(`round ${round + 1}: ${system}, ${tasks.toLocaleString("en")} tasks`);
          const run = await measure("loop", tasks);
          if (tasks === BASE) baseMs = run.elapsedMs / tasks;
          add(rounds, { system, tasks, baseMs }, run);
        }
        if (round > 0) continue;
        for (const way of ["map", "stream"] as const) {
          const how = way === "map" ? "by map" : "by map over an async iterable";
          const label = `${most.toLocaleString("en")} tasks ${how}`;
          if (!wantsOneOf([`${label}, per second`, `${label}, ${MEMORY}`])) continue;
          bench.progress(`${system}, ${label}`);
          addWay(rounds, { system, tasks: most, label }, await measure(way, most));
        }
      }
    }
    rounds.recordIn(bench);
  },
};

function add(
  rounds: Rounds,
  { system, tasks, baseMs }: { system: string; tasks: number; baseMs: number },
  { elapsedMs, growth, mostBytes, mostRedisBytes }: Run,
): void {
  const figure = { group: "scale", system, at: tasks };
  rounds.add({ ...figure, measure: RATE, unit: "1/s" }, (tasks / elapsedMs) * 1000);
  if (tasks >= BASE) {
    const multiple = elapsedMs / tasks / baseMs;
    rounds.add({ ...figure, measure: COST, unit: "" }, multiple);
    rounds.add({ ...figure, measure: GROWTH, unit: "" }, growth as number);
  }
  const megabytes = (bytes: number) => bytes / 2 ** 20;
  rounds.add({ ...figure, measure: MEMORY, unit: "MiB" }, megabytes(mostBytes));
  if (mostRedisBytes === undefined) return;
  rounds.add({ ...figure, measure: REDIS_MEMORY, unit: "MiB" }, megabytes(mostRedisBytes));
}

function addWay(
  rounds: Rounds,
  { system, tasks, label }: { system: string; tasks: number; label: string },
  { elapsedMs, mostBytes }: Run,
): void {
  const figure = { group: "scale", system };
  rounds.add({ ...figure, measure: `${label}, per second`, unit: "1/s" }, (tasks / elapsedMs) * 1000);
  rounds.add({ ...figure, measure: `${label}, ${MEMORY}`, unit: "MiB" }, mostBytes / 2 ** 20);
}

async function runEmbedded(way: Way, tasks: number): Promise<Run> {
  return JSON.parse(await runChild("scale-child.js", [way, String(tasks)])) as Run;
}

function runOnRedis(way: Way, tasks: number): Promise<Run> {
  return withPrivateRedis(async (path) => {
    const run = await runChild("scale-child.js", [way, String(tasks), `unix://${path}`]);
    const client = new Redis({ path });
    const memory = await client.info("memory");
    client.disconnect();
    const mostRedisBytes = Number(/used_memory_peak:(\d+)/.exec(memory)?.[1]);
    return { ...(JSON.parse(run) as Run), mostRedisBytes };
  });
}
