import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { DistributedTaskRunner, LocalCluster } from "millrace";
import { withPrivateRedis } from "../private-redis.ts";
import { inFlow } from "../systems/millrace.ts";
import { noop } from "../tasks.js";
import type { Bench, Group } from "./group.ts";

const SYSTEM = "Millrace, Redis";
/** V8 collects garbage once in a while, also of a process that waits: one worker took 0.9 % of a core in 20 s with it, and 0.23 % in the minute after. */
const SECONDS = 60;
/** What the calls have left to do is done, and the thread that renews the lease of a flow's process has started: after 2.5 s. */
const SETTLED_MS = 4_000;

/** What a worker process and a flow cost while they wait: processor time, and connections to Redis. */
export const idle: Group = {
  name: "idle",
  run: (bench) =>
    withPrivateRedis(async (path) => {
      const client = new Redis({ path });
      const redis = `unix://${path}`;
      await using cluster = await new LocalCluster({
        broker: "redis",
        redis,
        workers: 1,
        threads: 2,
      }).start();
      const withoutFlow = await connections(client);
      await inFlow(new DistributedTaskRunner({ cluster }), async () => {
        for (let n = 0; n < 100; n++) await noop(n);
        await sleep(bench.isQuick ? 0 : SETTLED_MS);
        record(bench, "connections of a worker process and its cluster", "", withoutFlow);
        record(bench, "connections of a flow run more", "", (await connections(client)) - withoutFlow);
        await recordBusy(bench, cluster.pids[0] as number);
      });
      client.disconnect();
    }),
};

/** The share of a core, which Linux alone tells of another process. */
async function recordBusy(bench: Bench, workerPid: number): Promise<void> {
  const seconds = bench.isQuick ? 1 : SECONDS;
  bench.progress(`waits ${seconds} s`);
  const worker = await processorSeconds(workerPid);
  const own = process.cpuUsage();
  await sleep(seconds * 1_000);
  const { user, system } = process.cpuUsage(own);
  record(bench, "a flow that waits, of a core", "%", (user + system) / 1e4 / seconds);
  if (worker === undefined) return;
  const after = (await processorSeconds(workerPid)) as number;
  record(bench, "a worker that waits, of a core", "%", ((after - worker) / seconds) * 100);
}

function record(bench: Bench, measure: string, unit: string, value: number): void {
  bench.record({ group: "idle", measure, system: SYSTEM, unit, value });
}

/** But for the one that asks. */
async function connections(client: Redis): Promise<number> {
  return Number(/connected_clients:(\d+)/.exec(await client.info("clients"))?.[1]) - 1;
}

/** User and system time, in hundredths of a second: proc(5), fields 14 and 15 of `stat`. */
async function processorSeconds(pid: number): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined;
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
