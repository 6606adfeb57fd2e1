import { decode } from "@millrace/core/internal";
import { expect, inject, onTestFinished, test } from "vitest";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { WorkerValues } from "../values/worker-values.ts";
import { inSharedMemory } from "../wire/call-values.ts";
import { decodeReport, encodeReport, type Report } from "../wire/report.ts";
import { type Keys, keysOf } from "./keys.ts";
import { LogAllowance } from "./log-allowance.ts";
import { connectRedis, type Redis } from "./redis-connection.ts";
import { RedisValues } from "./redis-values.ts";
import { ReportSender } from "./report-sender.ts";
import { sealOf } from "./seal.ts";

const UNSIGNED = sealOf(undefined, "any");
const BYTES = inSharedMemory(new Uint8Array(100_000).fill(5));
const reference = { runnerId: "runner", id: "a", sizeBytes: BYTES.length };

interface Setup {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly store: RedisValues;
}

async function setUp(): Promise<Setup> {
  const redis = await connectRedis(inject("redisUrl"));
  const keys = keysOf(uniqueNamespace());
  const store = new RedisValues(redis, keys, UNSIGNED);
  onTestFinished(async () => {
    await redis.del(keys.values("runner"), keys.replies("runner"));
    store.close();
    redis.disconnect();
  });
  return { redis, keys, store };
}

test("a value is read as it was written, in shared memory, until it is removed", async () => {
  const { store } = await setUp();
  expect(await store.read(reference)).toBeUndefined();
  await store.write(reference, BYTES);
  const read = await store.read(reference);
  expect(read).toEqual(BYTES);
  expect(read?.buffer).toBeInstanceOf(SharedArrayBuffer);
  store.remove(reference);
  await until("it is removed", async () => (await store.read(reference)) === undefined);
});

test("no value is without a time to live, and each write renews it", async () => {
  const { redis, keys, store } = await setUp();
  await store.write(reference, BYTES);
  const key = keys.values("runner");
  expect(await redis.pttl(key)).toBeGreaterThan(0);
  await redis.pexpire(key, 5_000);
  await store.write({ ...reference, id: "b" }, BYTES);
  expect(await redis.pttl(key)).toBeGreaterThan(5_000);
});

test("all values of a runner go with it, also those that are being written", async () => {
  const { redis, keys, store } = await setUp();
  const writing = store.write(reference, BYTES);
  expect(store.written).toBeDefined();
  await store.removeAll("runner");
  await writing;
  expect(store.written).toBeUndefined();
  expect(await redis.exists(keys.values("runner"))).toBe(0);
});

test("what is no hash counts as lost values, and makes way for new ones", async () => {
  const { redis, keys, store } = await setUp();
  await redis.set(keys.values("runner"), "no hash");
  expect(await store.read(reference)).toBeUndefined();
  await store.write(reference, BYTES);
  expect(await store.read(reference)).toEqual(BYTES);
});

function largeReport() {
  return encodedReport({ outcomes: [{ sequence: 0, kind: "returned", durationMicros: 1, payload: BYTES }] });
}

function encodedReport(parts: Partial<Report>) {
  const report: Report = {
    ...{ batchId: "runner.1", outcomes: [], logs: "", requests: [], parked: [], started: [], workerId: "" },
    ...parts,
  };
  const attachments: Uint8Array[] = [];
  return { report, bytes: encodeReport(report, attachments), attachments };
}

function senderOf({ redis, keys, store }: Setup, isWanted = () => true): ReportSender {
  const values = new WorkerValues(store);
  return new ReportSender({
    ...{ redis, replies: keys.replies("runner"), runnerId: "runner", seal: UNSIGNED },
    ...{ store, values, isWanted, logs: new LogAllowance(redis, keys.replies("runner")) },
  });
}

test("reports stay in their order, also behind one whose value is being written", async () => {
  const setup = await setUp();
  const { redis, keys } = setup;
  await redis.xadd(keys.replies("runner"), "*", "r", "");
  const sender = senderOf(setup);
  const small = { report: { ...largeReport().report, outcomes: [] }, bytes: Buffer.from("small") };
  sender.send(largeReport());
  sender.send(small);
  await sender.appended();
  const entries = await redis.xrangeBuffer(keys.replies("runner"), "-", "+");
  expect(entries.at(-1)?.[1][1]?.toString()).toBe("small");
  expect(entries[1]?.[1][1]?.length).toBeLessThan(1_000);
  expect(await redis.hlen(keys.values("runner"))).toBe(1);
});

test("what a call gives to its calls is kept, too, but for what is too large", async () => {
  const setup = await setUp();
  const { redis, keys } = setup;
  await redis.xadd(keys.replies("runner"), "*", "r", "");
  const sender = senderOf(setup);
  Object.assign(setup.store, { mostBytes: BYTES.length });
  const tooLarge = new Uint8Array(new SharedArrayBuffer(BYTES.length + 1));
  const given = [BYTES, tooLarge].map((value, index) => ({ id: `${index}`, value }));
  const requests = [{ sequence: 0, id: 1, body: Uint8Array.of(1), given }];
  sender.send(encodedReport({ outcomes: [], requests }));
  await sender.appended();
  const [, entry] = await redis.xrangeBuffer(keys.replies("runner"), "-", "+");
  const [asked] = decodeReport(entry![1][1]!).requests;
  expect(asked?.given).toMatchObject([{ id: "0", value: { runnerId: "runner", sizeBytes: BYTES.length } }]);
  expect(await redis.hlen(keys.values("runner"))).toBe(1);
});

test("and behind one that was refused", async () => {
  const setup = await setUp();
  const { redis, keys } = setup;
  const key = keys.replies("runner");
  const sender = senderOf(setup);
  const { report } = largeReport();
  const send = (text: string) =>
    sender.send({ report: { ...report, outcomes: [] }, bytes: Buffer.from(text) });
  await redis.set(key, "no stream");
  send("first");
  await redis.ping(); // It has answered what came before.
  await redis.multi().del(key).xadd(key, "*", "r", "").exec();
  send("second");
  send("third");
  await sender.appended();
  const entries = await redis.xrangeBuffer(key, "-", "+");
  expect(entries.slice(1).map(([, fields]) => fields[1]?.toString())).toEqual(["first", "second", "third"]);
});

test("what is refused and nobody wants any more is given up", async () => {
  const setup = await setUp();
  await setup.redis.set(setup.keys.replies("runner"), "no stream"); // For as long as nobody mends it.
  let isWanted = true;
  const sender = senderOf(setup, () => isWanted);
  sender.send({ report: { ...largeReport().report, outcomes: [] }, bytes: Buffer.from("late") });
  await setup.redis.ping(); // It has been refused.
  isWanted = false;
  await sender.appended();
  await setup.redis.del(setup.keys.replies("runner"));
});

test("what was written for a runner that is gone is taken away again", async () => {
  const setup = await setUp();
  const sender = senderOf(setup);
  sender.send(largeReport());
  await sender.appended();
  await until("it is gone", async () => (await setup.redis.exists(setup.keys.values("runner"))) === 0);
});

test("a value that cannot be kept travels in the report", async () => {
  const setup = await setUp();
  const { redis, keys } = setup;
  await redis.xadd(keys.replies("runner"), "*", "r", "");
  await setup.store.write(reference, BYTES);
  setup.store.close();
  await expect(setup.store.write(reference, BYTES)).rejects.toThrow("closed");
  const sender = senderOf(setup);
  sender.send(largeReport());
  await sender.appended();
  const [, entry] = await redis.xrangeBuffer(keys.replies("runner"), "-", "+");
  expect(entry?.[1][1]?.length).toBeGreaterThan(BYTES.length);
});

test("a result that Redis cannot keep is its call's failure", async () => {
  const setup = await setUp();
  const { redis, keys } = setup;
  await redis.xadd(keys.replies("runner"), "*", "r", "");
  Object.assign(setup.store, { mostBytes: BYTES.length - 1 });
  const sender = senderOf(setup);
  sender.send(largeReport());
  await sender.appended();
  const [, entry] = await redis.xrangeBuffer(keys.replies("runner"), "-", "+");
  const [outcome] = decodeReport(entry?.[1][1] as Buffer).outcomes;
  expect(outcome?.kind).toBe("threw-for-good");
  expect(decode(outcome?.payload as Uint8Array)).toMatchObject({
    code: "ERR_NOT_ENCODABLE",
    path: "the result",
  });
});
