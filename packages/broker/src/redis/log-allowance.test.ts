/** Log lines to a runner that does not read, since its process computes or is gone, take a bounded room in Redis and in the worker. */
import { beforeEach, expect, inject, onTestFinished, test } from "vitest";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { WorkerValues } from "../values/worker-values.ts";
import { decodeReport, encodeReport, type Report } from "../wire/report.ts";
import { keysOf } from "./keys.ts";
import { LogAllowance, MOST_LOG_BYTES } from "./log-allowance.ts";
import { connectRedis, type Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { ReportSender } from "./report-sender.ts";
import { sealOf } from "./seal.ts";
import { StreamReader } from "./stream-reader.ts";

const LINES_PER_REPORT = 100;
const LINE = `${JSON.stringify({ level: 30, msg: "x".repeat(2_500) })}\n`;
/** As a thread sends them: see LOG_FLUSH_CHARACTERS. */
const LINES = LINE.repeat(LINES_PER_REPORT);
/** Three times as many as may wait. */
const REPORTS = Math.ceil((3 * MOST_LOG_BYTES) / LINES.length);

let redis: Redis;
let replies: string;
let sender: ReportSender;

beforeEach(async () => {
  redis = await connectRedis(inject("redisUrl"));
  const seal = sealOf(undefined, "any");
  const keys = keysOf(uniqueNamespace());
  replies = keys.replies("runner");
  const store = new RedisValues(redis, keys, seal);
  sender = new ReportSender({
    ...{ redis, replies, runnerId: "runner", seal, store, values: new WorkerValues(store) },
    ...{ logs: new LogAllowance(redis, replies), isWanted: () => true },
  });
  onTestFinished(async () => {
    await redis.del(replies);
    redis.disconnect();
  });
});

function send(logs: string, outcomes: Report["outcomes"] = []): void {
  const report = { batchId: "b", outcomes, logs, requests: [], parked: [], started: [], workerId: "" };
  sender.send({ report, bytes: encodeReport(report) });
}

const ENDED = [{ sequence: 0, kind: "returned", durationMicros: 1, payload: Uint8Array.of(1) }] as const;

/** How many lines arrived, and how many were said to be dropped. */
function counted(reports: readonly Report[]) {
  const lines = reports
    .flatMap(({ logs }) => logs.split("\n").filter((line) => line !== ""))
    .map((line) => JSON.parse(line));
  const dropped = lines.flatMap((line) => (line.dropped === undefined ? [] : [line.dropped as number]));
  return { arrived: lines.length - dropped.length, dropped: dropped.reduce((sum, each) => sum + each, 0) };
}

test("beyond the bound they are dropped, the end of the call arrives, and with it how many there were", async () => {
  await redis.xadd(replies, "*", "r", ""); // Nobody reads it.
  for (let count = 0; count < REPORTS; count++) send(LINES);
  send("", ENDED);
  await sender.appended();
  expect(await redis.memory("USAGE", replies, "SAMPLES", 0)).toBeLessThan(1.2 * MOST_LOG_BYTES);
  const entries = await redis.xrangeBuffer(replies, "-", "+");
  const reports = entries.slice(1).map(([, fields]) => decodeReport(fields[1] as Buffer));
  expect(reports.at(-1)?.outcomes).toMatchObject([{ kind: "returned" }]);
  const { arrived, dropped } = counted(reports);
  expect(dropped).toBeGreaterThan(0);
  expect(arrived + dropped).toBe(REPORTS * LINES_PER_REPORT);
});

test("those that Redis has not taken, as while it is away, count as well: they do not gather in the worker", () => {
  const logs = new LogAllowance(redis, replies);
  let admitted = 0;
  for (let count = 0; count < REPORTS; count++) {
    const lines = logs.admit(LINES, false);
    logs.sending(lines.length);
    admitted += lines.length;
  }
  expect(admitted).toBeGreaterThan(0);
  expect(admitted).toBeLessThanOrEqual(MOST_LOG_BYTES);
});

test("short ones to many runners take no memory in the worker once they are sent", () => {
  const before = process.memoryUsage().heapUsed;
  const all = Array.from({ length: 100 }, () => new LogAllowance(redis, replies));
  for (const logs of all) {
    for (let bytes = 0; bytes < MOST_LOG_BYTES / 4; bytes += 150) {
      logs.sending(150);
      logs.sent(150, "1-1");
    }
  }
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(30_000_000); // Each report counted by itself took 160 MB.
  expect(all.every((logs) => logs.admit(LINE, false) === LINE)).toBe(true);
});

test("to a runner that reads, none is dropped, however many", async () => {
  const reports: Report[] = [];
  const reader = await StreamReader.open({
    redis,
    key: replies,
    onMessage: (message) => reports.push(decodeReport(message)),
    onReset: () => {},
  });
  for (let count = 1; count <= REPORTS; count++) {
    send(LINES);
    await sender.appended();
    if (count % 4 === 0) await until("it has read them", () => reports.length === count);
  }
  send("", ENDED);
  await until("it has read all", () => reports.at(-1)?.outcomes.length === 1);
  expect(counted(reports)).toEqual({ arrived: REPORTS * LINES_PER_REPORT, dropped: 0 });
  await reader.close();
});

test("to one that reads again, they come again, with how many are missing", async () => {
  await redis.xadd(replies, "*", "r", "");
  for (let count = 0; count < REPORTS; count++) send(LINES);
  await sender.appended();
  const [last] = await redis.xrevrange(replies, "+", "-", "COUNT", 1);
  await redis.xtrim(replies, "MINID", last?.[0] as string); // As one that has read them.
  await until("lines are sent again", async () => {
    send(LINE);
    await sender.appended();
    const [newest] = await redis.xrevrangeBuffer(replies, "+", "-", "COUNT", 1);
    return newest !== undefined && /"dropped":\d+/.test(String(newest[1][1]));
  });
});
