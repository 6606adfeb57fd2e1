/** The wall clock of a process is set, forward or back, while a flow runs: it ends right and in time, and nothing is left. */
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { Redis } from "ioredis";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Gate } from "../support/gate.ts";
import { MovableClock, whyNoClockMoves } from "../support/movable-clock.ts";
import { startPrivateRedisIn } from "../support/private-redis.ts";
import { killPrograms, start, startWorkerIn, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 90_000 });
afterEach(killPrograms);

const whyNot = await whyNoClockMoves();
const HOUR = 3_600;

/** A heartbeat that has ended is found after 6 s: what a jump does to times to live has had its effect. */
const SETTLED_MS = 8_000;

/** The rate gives a slot a second; those in front look again each second, and the machine is busy. */
const RATE_PASSES_MS = 8_000;

/** What runs is released, and what waited runs: at most the 10 s that a hold lasts, and what a busy machine adds. */
const ENDS_MS = 20_000;

const PROCESSES = ["redis", "worker", "flow"] as const;

/** HOLD_TTL_MS of the broker, the second in which those in front look again, and what a busy machine may add. */
const FREE_AGAIN_MS = 10_000 + 1_000 + 3_000;

/** Takes the slot of `db`, and says so. */
const HOLDER = `
  import { BullMqBroker } from "@millrace/broker/bullmq";
  const [redisUrl, namespace] = process.argv.slice(1);
  const broker = await BullMqBroker.connect({ redisUrl, namespace });
  const limiter = await broker.openLimiter();
  await limiter.acquire({ names: ["db"], slots: 1, holder: "child", isRate: false });
  console.log("holds");
`;

describe.skipIf(whyNot !== undefined)(
  `a clock that jumps${whyNot === undefined ? "" : ` (${whyNot})`}`,
  () => {
    test.each(PROCESSES.flatMap((whose) => [HOUR, -HOUR].map((seconds) => [whose, seconds] as const)))(
      "of the %s, by %i s, harms no flow",
      async (whose, seconds) => {
        await using gate = await Gate.make();
        await using clock = await MovableClock.make();
        const environmentOf = (process: (typeof PROCESSES)[number]) =>
          process === whose ? clock.environment : {};
        const server = await startPrivateRedisIn(environmentOf("redis"));
        const redis = new Redis(server.url);
        const namespace = "clock";
        const broker = await BullMqBroker.connect({ redisUrl: server.url, namespace });
        try {
          const limits = broker.limits();
          await limits.set("narrow", { slots: 1 });
          await limits.set("rate", { slots: 1, slotDecayPerSecond: 1 });
          const use = async (name: string) => (await limits.inspect()).find((limit) => limit.name === name);
          const worker = await startWorkerIn(
            environmentOf("worker"),
            namespace,
            ...["--redis", server.url, "--threads", "1"],
          );
          const program = start(
            process.execPath,
            ["--import", "tsx", "test/fixtures/clock-flow.ts", gate.directory],
            { env: { MILLRACE_REDIS_URL: server.url, CLOCK_NAMESPACE: namespace, ...environmentOf("flow") } },
          );
          await gate.waitFor("a call runs", (starts) => starts.length === 1);
          await until("the rate is used up", () => program.output.stdout.includes("rate used"));
          await until("one waits for its slot", async () => (await use("narrow"))?.waiting === 1);

          await clock.move(seconds);
          await writeFile(gate.path("jumped"), "");
          await until(
            "the rate has passed",
            () => program.output.stdout.includes("rate passed"),
            RATE_PASSES_MS,
          );
          await sleep(SETTLED_MS);
          expect(await use("narrow")).toMatchObject({ held: 1, waiting: 1 });
          const openedAt = performance.now();
          await gate.open();
          const { code, stdout, stderr } = await program.exited;
          expect([code, stderr]).toEqual([0, ""]);
          expect(performance.now() - openedAt).toBeLessThan(ENDS_MS);

          const { clocks, ...result } = JSON.parse(stdout.trim().split("\n").at(-1) as string);
          expect(result).toMatchObject({ names: ["runs", "waits"], sum: 3 });
          const redisMs = Number((await redis.time())[0]) * 1000;
          const moved = Object.entries({ ...clocks, redis: redisMs }).filter(
            ([, time]) => Math.abs(Number(time) - Date.now()) > (HOUR * 1000) / 2,
          );
          expect(moved.map(([name]) => name)).toEqual([whose]); // It did jump.
          expect(await use("narrow")).toMatchObject({ held: 0, waiting: 0 });
          expect((await terminate(worker)).code).toBe(0);
        } finally {
          await broker.close();
          redis.disconnect();
          await server.kill();
        }
      },
    );

    test.each([
      ["forward", HOUR],
      ["back", -HOUR],
    ])(
      "of the redis, set %s, takes a slot from nobody who lives, and gives that of a dead one",
      async (_, seconds) => {
        await using clock = await MovableClock.make();
        const server = await startPrivateRedisIn(clock.environment);
        const broker = await BullMqBroker.connect({ redisUrl: server.url, namespace: "clock" });
        await broker.limits().set("db", { slots: 1 });
        const limiter = await broker.openLimiter();
        try {
          const args = ["--input-type=module", "--eval", HOLDER, server.url, "clock"];
          const holder = start(process.execPath, args);
          await until("it holds", () => holder.output.stdout.includes("holds"));
          let isTaken = false;
          const next = limiter
            .acquire({ names: ["db"], slots: 1, holder: "run", isRate: false })
            .finally(() => (isTaken = true));
          await until("one waits", async () => (await broker.limits().inspect())[0]?.waiting === 1);
          await clock.move(seconds);
          await sleep(SETTLED_MS);
          expect(isTaken).toBe(false);
          holder.child.kill("SIGKILL");
          await holder.exited;
          await clock.move(2 * seconds); // Once more, before its lease has ended.
          const killedAt = performance.now();
          (await next).release();
          expect(performance.now() - killedAt).toBeLessThan(FREE_AGAIN_MS);
        } finally {
          await limiter.close();
          await broker.close();
          await server.kill();
        }
      },
    );
  },
);
