import fc from "fast-check";
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import { until } from "../../../../test/support/until.ts";
import { dataOf, type ExposedQueue, useExposedQueue } from "../../testing/exposed-queue.ts";
import { TestWorker } from "../../testing/parties.ts";
import { sampleBatch, sampleReport } from "../../testing/samples.ts";
import { HOLD_TTL_MS } from "../intervals.ts";
import { RedisResultStore } from "../sharing/redis-result-store.ts";
import { encodeBatch } from "../wire/batch.ts";
import { WIRE_VERSION } from "../wire/message-fields.ts";
import { encodeWorkerMessage } from "../wire/worker-messages.ts";
import { DeathNotes } from "./death-notes.ts";
import { RedisValues } from "./redis-values.ts";
import { type Place, sealOf } from "./seal.ts";

// On every key that a runner or a worker reads: bytes that somebody made up, cut off, changed, or took from elsewhere. None
// of them may end anybody, hold up the rest, or be taken for what it is not.

vi.setConfig({ testTimeout: 60_000 });

const SECRET = "correct horse battery staple";
const RUNS = { numRuns: 15 };

const { logged, setUp } = useExposedQueue();
let { pair, keys, redis, runner, worker, seal, queueName, expectGoodTraffic, addJob } = {} as ExposedQueue;

async function open(secret: string | undefined): Promise<void> {
  ({ pair, keys, redis, runner, worker, seal, queueName, expectGoodTraffic, addJob } = await setUp(secret));
}

/** Bytes that are like the message, and are none: a part of it, one of another version, or random ones. */
function brokenForms(message: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.uint8Array({ maxLength: 200 }).filter((bytes) => Buffer.compare(bytes, message) !== 0),
    fc.nat(message.length - 1).map((length) => message.subarray(0, length)),
    fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.concat([message, Uint8Array.of(byte)])),
    fc.integer({ min: WIRE_VERSION + 1, max: 100 }).map((version) => message.with(1, version)),
    fc.constantFrom(
      new Uint8Array(200_000).fill(0x91), // 200,000 levels
      Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff), // four thousand million items
      Buffer.concat([message, new Uint8Array(5_000_000)]),
    ),
  );
}

const several = <T>(form: fc.Arbitrary<T>) => fc.array(form, { minLength: 1, maxLength: 10 });

describe.each<[string, string | undefined]>([
  ["without a secret", undefined],
  ["with a secret", SECRET],
])("%s", (_, secret) => {
  beforeEach(() => open(secret));

  test("jobs that hold no batch are dropped, and not delivered again", async () => {
    const batch = encodeBatch(sampleBatch("nobody"));
    let count = 0;
    await fc.assert(
      fc.asyncProperty(several(brokenForms(batch)), async (jobs) => {
        for (const bytes of jobs) await addJob(dataOf(bytes), `odd.${++count}`);
        await expectGoodTraffic();
      }),
      RUNS,
    );
    await until("nothing waits or is held", async () => {
      const lists = ["wait", "active"].map((list) => redis.llen(`${keys.prefix}:${queueName}:${list}`));
      return (await Promise.all(lists)).every((length) => length === 0);
    });
  });

  test("jobs whose data is no text of bytes are dropped", async () => {
    let count = 0;
    const data = fc.oneof(
      fc.jsonValue(),
      fc.record({ batch: fc.jsonValue() }),
      fc.record({ keptBytes: fc.jsonValue() }),
    );
    await fc.assert(
      fc.asyncProperty(several(data), async (jobs) => {
        for (const each of jobs) await addJob(each, `odd.${++count}`);
        await expectGoodTraffic();
      }),
      RUNS,
    );
  });

  test("replies that are no report settle nothing", async () => {
    const replies = keys.replies(runner.link.runnerId);
    const report = sampleReport(`${runner.link.runnerId}.1`).bytes;
    await fc.assert(
      fc.asyncProperty(several(brokenForms(report)), async (messages) => {
        const before = runner.reports.length;
        for (const bytes of messages) await redis.xadd(replies, "*", "r", Buffer.from(bytes));
        await expectGoodTraffic();
        expect(runner.reports.length).toBe(before + 1);
      }),
      RUNS,
    );
  });

  test("messages to a worker that are none end no call", async () => {
    const inbox = keys.inbox(worker.workerId);
    const message = encodeWorkerMessage({ type: "cancel", batchId: "b", sequences: [1] });
    await fc.assert(
      fc.asyncProperty(several(brokenForms(message)), async (messages) => {
        for (const bytes of messages) await redis.xadd(inbox, "*", "r", Buffer.from(bytes));
        await expectGoodTraffic();
      }),
      RUNS,
    );
    // The last word of the runner comes behind them.
    const answer = { batchId: runner.send().id, sequence: 1, id: 2, body: Uint8Array.of(3) };
    runner.link.answer(worker.workerId, answer);
    await worker.until(() => worker.answers.length > 0);
    expect(worker.answers).toHaveLength(1);
    expect([...worker.cancelled, ...worker.handBacks]).toEqual([]);
  });

  test("records that are no worker's count for nothing", async () => {
    const record = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record({ workerId: fc.constantFrom("odd", "other", 7), threads: fc.oneof(fc.double(), fc.string()) })
        .map((value) => JSON.stringify({ ...value, threads: value.threads === 1 ? 0 : value.threads })),
      fc.constant(JSON.stringify({ workerId: worker.workerId, threads: 1_000 })),
      fc.constant(JSON.stringify({ workerId: "odd", threads: 2 ** 50 })),
      fc.constant(`{"workerId":"odd","threads":1,"more":"${"x".repeat(20_000)}"}`),
      fc.constant("[".repeat(100_000)),
    );
    await redis.sadd(keys.workers("default"), "odd");
    await fc.assert(
      fc.asyncProperty(record, async (text) => {
        const isOne = /^\{"workerId":"odd","threads":[1-9]\d{0,3}\}$/.test(text);
        fc.pre(!isOne);
        await redis.set(keys.worker("odd"), text, "PX", 60_000);
        const other = await TestWorker.join(pair.forWorkers, 3);
        await runner.until(() => runner.capacities.at(-1)?.workers === 2);
        expect(runner.capacities.at(-1)).toMatchObject({ workers: 2, slots: 4 });
        await other.link.close();
        await runner.until(() => runner.capacities.at(-1)?.workers === 1);
      }),
      RUNS,
    );
  });

  test("a record that is no text, and news that say nothing, count for nothing", async () => {
    await redis.lpush(keys.worker("odd"), "x");
    await redis.sadd(keys.workers("default"), "odd", "\0", "{}:");
    for (const news of ["", "{", "\0".repeat(10_000)]) await redis.publish(keys.workerNews("default"), news);
    await expectGoodTraffic();
    expect(runner.capacities.at(-1)).toEqual({ workers: 1, slots: 1 });
    await redis.del(keys.worker("odd"));
  });

  test("a kept value that was changed in length, or is gone, counts as lost", async () => {
    const values = new RedisValues(redis, keys, seal);
    const bytes = new Uint8Array(70_000).fill(7);
    const reference = { runnerId: runner.link.runnerId, id: "a", sizeBytes: bytes.length };
    const form = fc.oneof(
      fc.uint8Array({ maxLength: 1_000 }),
      fc.nat(bytes.length - 1).map((length) => bytes.subarray(0, length)),
      fc.constant(Buffer.concat([bytes, bytes])),
    );
    await values.write(reference, bytes);
    expect(Buffer.compare((await values.read(reference)) as Uint8Array, bytes)).toBe(0);
    await fc.assert(
      fc.asyncProperty(form, async (changed) => {
        await redis.hset(keys.values(reference.runnerId), "a", Buffer.from(changed));
        expect(await values.read(reference)).toBeUndefined();
      }),
      RUNS,
    );
    values.close();
  });

  test("what is no kept result is none, and is computed anew", async () => {
    const store = new RedisResultStore(redis, keys, seal);
    const result = { value: Uint8Array.of(1, 2, 3), expiresAt: undefined };
    await store.write("key", result);
    expect(await store.read("key")).toEqual({ ...result, value: Buffer.from(result.value) });
    const written = (await redis.getBuffer(keys.result("key"))) as Buffer;
    const form = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(written.length - 1).map((length) => written.subarray(0, length)),
      fc
        .tuple(fc.nat(written.length - 1), fc.integer({ min: 1, max: 255 }))
        .map(([at, change]) => written.with(at, (written[at] as number) ^ change)),
    );
    await fc.assert(
      fc.asyncProperty(form, async (changed) => {
        await redis.set(keys.result("key"), Buffer.from(changed));
        expect(await store.read("key")).toBeUndefined();
      }),
      { numRuns: 100 },
    );
    // The result of one key is none of another's.
    await redis.set(keys.result("other"), written);
    expect(await store.read("other")).toBeUndefined();
  });

  test("a claim that is nobody's runs out, however long it was to last", async () => {
    const store = new RedisResultStore(redis, keys, seal);
    const key = keys.resultClaim("key");
    const ends = async () => ((await redis.pttl(key)) > 0 ? redis.pexpire(key, 1) : 0);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom(0, 1e12),
        async (holder, lastsMs) => {
          await redis.set(key, Buffer.from(holder));
          if (lastsMs > 0) await redis.pexpire(key, lastsMs);
          const claiming = store.claim("key");
          await until("it will run out", async () => {
            const leftMs = await redis.pttl(key);
            return leftMs > 0 && leftMs <= HOLD_TTL_MS;
          });
          await ends();
          await (await claiming).release();
        },
      ),
      RUNS,
    );
  });

  test("what is written about limits in use, and is no number of theirs, keeps nobody waiting", async () => {
    const limits = pair.forRunners.limits();
    await limits.set("db", { slots: 2 });
    await limits.set("rate", { slots: 5, slotDecayPerSecond: 100 });
    const limiter = await pair.forRunners.openLimiter();
    const of = (kind: string, name = "db") => `${keys.limitState}:${kind}:${name}`;
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom("", "-1", "1e400", "-inf", "nan", "0x", "9".repeat(400), "9223372036854775807"),
    );
    const change = fc.oneof(
      fc
        .tuple(fc.constantFrom("shows", "seen"), text)
        .map((fields) => () => redis.hset(of("clock"), ...fields)),
      fc.tuple(fc.string(), text).map((fields) => () => redis.hset(of("slots"), ...fields)),
      fc
        .tuple(fc.constantFrom("level", "at"), text)
        .map((fields) => () => redis.hset(of("rate", "rate"), ...fields)),
      fc.string().map((token) => () => redis.zadd(of("line"), "-inf", token)),
      text.map((ticket) => () => redis.set(`${keys.limitState}:tickets`, ticket)),
    );
    const request = { names: ["db"], slots: 2, holder: "h", isRate: false };
    await fc.assert(
      fc.asyncProperty(several(change), async (changes) => {
        const holding = await limiter.acquire(request);
        const waiting = limiter.acquire(request);
        for (const make of changes) await make();
        await redis.del(of("slots")); // What those who hold slots say of them comes again with their next renewal.
        holding.release();
        (await waiting).release();
        await limiter.acquire({ ...request, names: ["rate"], isRate: true });
        expect((await limits.inspect()).map(({ name }) => name)).toEqual(["db", "rate"]);
      }),
      RUNS,
    );
    await limiter.close();
  });

  test("slots that somebody made up are held for no longer than a holder's lease", async () => {
    const limits = pair.forRunners.limits();
    await limits.set("db", { slots: 1 });
    await redis.zadd(`${keys.limitState}:holders:db`, "+inf", "odd");
    await redis.hset(`${keys.limitState}:slots:db`, "odd", "1");
    expect(await limits.inspect()).toMatchObject([{ name: "db", held: 1 }]);
    const ends = Number(await redis.zscore(`${keys.limitState}:holders:db`, "odd"));
    const shows = Number(await redis.hget(`${keys.limitState}:clock:db`, "shows"));
    expect(ends - shows).toBeLessThanOrEqual(HOLD_TTL_MS);
  });

  test("records of runners that are none are left out, and a note of a death that is none gives no reason", async () => {
    const record = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record({ runnerId: fc.string(), queue: fc.jsonValue(), calls: fc.jsonValue() })
        .map((odd) => JSON.stringify(odd)),
    );
    const deaths = new DeathNotes(redis, keys, seal);
    await deaths.leave("odd", "It was tired.");
    const note = (await redis.getBuffer(keys.death("odd"))) as Buffer;
    const isSigned = secret !== undefined;
    const broken = fc.oneof(brokenForms(note), fc.constant(Buffer.alloc(100_000, "x")));
    await fc.assert(
      fc.asyncProperty(record, broken, async (text, bytes) => {
        await redis.set(keys.runner("odd"), text);
        await redis.set(keys.death("odd"), Buffer.from(bytes));
        expect(await pair.forRunners.status()).toMatchObject({
          runners: [],
          workers: [{ workerId: worker.workerId }],
        });
        const reason = (await deaths.of(["odd"])).get("odd");
        // Without a secret, any bytes may be a sentence: only a short one is told.
        if (isSigned) expect(reason).toBeUndefined();
        else expect((reason ?? "").length).toBeLessThanOrEqual(1_000);
      }),
      RUNS,
    );
  });

  test("limits that are none are left out, whatever is under their keys", async () => {
    const limiter = await pair.forRunners.openLimiter();
    const text = fc.oneof(
      fc.json(),
      fc.string(),
      fc.constant('{"slots":-1}'),
      fc.constant('{"slots":1e400}'),
    );
    await fc.assert(
      fc.asyncProperty(text, fc.string({ minLength: 1 }), async (limit, news) => {
        fc.pre(!/^\d+$|"slots"\s*:\s*\d+\s*[,}]/.test(limit));
        await redis.hset(keys.limits, "odd", limit);
        await redis.publish(keys.limitNews, news);
        await pair.forRunners.limits().set("good", { slots: 1 });
        await until("the limits are known", () => limiter.isLimited("good"));
        const slots = await limiter.acquire({ names: ["good", "odd"], slots: 1, holder: "h", isRate: false });
        slots.release();
        await pair.forRunners.limits().remove("good");
        await until("it is gone", () => !limiter.isLimited("good"));
      }),
      RUNS,
    );
    await limiter.close();
  });
});

describe("with a secret, what is not signed for its place is refused, though it is well made:", () => {
  beforeEach(() => open(SECRET));

  const other = sealOf(`${SECRET} of others`, "any");
  const at = (kind: Place["kind"], key: string): Place => ({ kind, key });

  test("a batch", async () => {
    const batch = sampleBatch(runner.link.runnerId);
    const bytes = encodeBatch(batch);
    const key = keys.job(queueName, batch.id);
    const forged = [
      bytes,
      other.sign(bytes, at("batch", key)),
      seal.sign(bytes, at("report", key)),
      seal.sign(bytes, at("batch", keys.job(queueName, "another"))),
      seal.sign(bytes, at("batch", keys.job("another-queue", batch.id))),
    ];
    for (const message of forged) {
      await addJob(dataOf(message), batch.id);
      await expectGoodTraffic(); // It takes, and drops, what is ahead.
    }
  });

  test("a batch under the id of another job", async () => {
    const batch = sampleBatch(runner.link.runnerId);
    await addJob(dataOf(seal.sign(encodeBatch(batch), at("batch", keys.job(queueName, "odd")))), "odd");
    await expectGoodTraffic();
    expect(logged[0]?.err?.message).toContain("a batch with the id of its job, odd");
  });

  test("a report", async () => {
    const key = keys.replies(runner.link.runnerId);
    const { bytes } = sampleReport("forged");
    const forged = [
      bytes,
      other.sign(bytes, at("report", key)),
      seal.sign(bytes, at("to-worker", key)),
      seal.sign(bytes, at("report", keys.replies("another-runner"))),
    ];
    for (const message of forged) await redis.xadd(key, "*", "r", Buffer.from(message));
    await expectGoodTraffic();
    expect(runner.reports.map(({ batchId }) => batchId)).not.toContain("forged");
  });

  test("a message to a worker", async () => {
    const key = keys.inbox(worker.workerId);
    const bytes = encodeWorkerMessage({ type: "hand-back", batchId: "forged" });
    const forged = [
      bytes,
      other.sign(bytes, at("to-worker", key)),
      seal.sign(bytes, at("batch", key)),
      seal.sign(bytes, at("to-worker", keys.inbox("another-worker"))),
    ];
    for (const message of forged) await redis.xadd(key, "*", "r", Buffer.from(message));
    const answer = { batchId: runner.send().id, sequence: 1, id: 2, body: Uint8Array.of(3) };
    runner.link.answer(worker.workerId, answer);
    await worker.until(() => worker.answers.length > 0);
    expect(worker.handBacks).toEqual([]);
  });

  test("a kept value of the right size, also one that was kept under another name", async () => {
    const values = new RedisValues(redis, keys, seal);
    const { runnerId } = runner.link;
    const key = keys.values(runnerId);
    const bytes = new Uint8Array(70_000).fill(7);
    const [a, b] = ["a", "b"].map((id) => ({ runnerId, id, sizeBytes: bytes.length })) as [never, never];
    await values.write(a, bytes);
    await values.write(b, bytes.fill(8));
    await redis.hset(key, "b", (await redis.hgetBuffer(key, "a")) as Buffer);
    expect(await values.read(a)).toBeDefined();
    expect(await values.read(b)).toBeUndefined();
    await redis.hset(key, "a", Buffer.from(bytes));
    expect(await values.read(a)).toBeUndefined();
    await redis.hset(key, "a", Buffer.from(other.sign(bytes, { ...at("value", key), field: "a" })));
    expect(await values.read(a)).toBeUndefined();
    values.close();
  });

  test("a worker's record: it is no worker, and no stranger either", async () => {
    const record = await redis.get(keys.worker(worker.workerId));
    const forged = [
      JSON.stringify({ workerId: "odd", threads: 5, secret: seal.fingerprint }),
      JSON.stringify({ workerId: "odd", threads: 5, secret: seal.fingerprint, signature: "AAAA" }),
      JSON.stringify({ ...JSON.parse(record as string), workerId: "odd" }),
      JSON.stringify({ ...JSON.parse(record as string), threads: 500 }),
    ];
    await redis.sadd(keys.workers("default"), "odd");
    for (const text of forged) {
      await redis.set(keys.worker("odd"), text, "PX", 60_000);
      const third = await TestWorker.join(pair.forWorkers, 3);
      await runner.until(() => runner.capacities.at(-1)?.workers === 2);
      expect(runner.capacities.at(-1)).toEqual({ workers: 2, slots: 4 });
      await third.link.close();
      await runner.until(() => runner.capacities.at(-1)?.workers === 1);
    }
  });

  test("and each kind of refusal is one line in the log, however many there are", async () => {
    const key = keys.replies(runner.link.runnerId);
    const adding = redis.pipeline();
    for (let count = 0; count < 1_000; count++) adding.xadd(key, "*", "r", "odd");
    await adding.exec();
    await expectGoodTraffic();
    expect(logged.map(({ msg }) => msg)).toEqual(["a reply could not be read and was left out"]);
    expect(logged[0]?.err?.message).toMatch(/not signed, at .* MILLRACE_SECRET/);
  });
});

test("workers of another secret are strangers: counted, and given nothing", async () => {
  await open(SECRET);
  const { BullMqBroker } = await import("./bullmq-broker.ts");
  const others = await Promise.all(
    [undefined, `${SECRET} of others`].map((secret) =>
      BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace: pair.namespace, secret }),
    ),
  );
  const strangers = await Promise.all(others.map((broker) => TestWorker.join(broker)));
  await runner.until(() => runner.capacities.at(-1)?.strangers === 2);
  expect(runner.capacities.at(-1)).toEqual({ workers: 1, slots: 1, strangers: 2 });
  const problems = (await others[0]?.status())?.problems;
  expect(problems).toContainEqual(expect.stringMatching(/^2 workers of queue "default" with another secret/));
  const taken = strangers.map((stranger) => stranger.serveAll());
  for (let count = 0; count < 5; count++) await expectGoodTraffic();
  for (const stranger of strangers) await stranger.link.close();
  expect(await Promise.all(taken)).toEqual([[], []]);
  await runner.until(() => runner.capacities.at(-1)?.strangers === undefined);
  for (const broker of others) await broker.close();
});
