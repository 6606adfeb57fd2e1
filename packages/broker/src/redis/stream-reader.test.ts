import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, inject, test, vi } from "vitest";
import { Conditions } from "../../../../test/support/conditions.ts";
import { uniqueNamespace } from "../../../../test/support/namespace.ts";
import { until } from "../../../../test/support/until.ts";
import { appendToStream, StreamReader } from "./stream-reader.ts";

let redis: Redis;
let reader: StreamReader;
let key: string;
let resets = 0;
const heard: string[] = [];
const conditions = new Conditions();

beforeEach(async () => {
  key = uniqueNamespace();
  redis = new Redis(inject("redisUrl"), { connectionName: key });
  heard.length = 0;
  resets = 0;
  reader = await StreamReader.open({
    redis,
    key,
    onMessage: (message) => {
      heard.push(Buffer.from(message).toString());
      conditions.changed();
    },
    onReset: () => {
      resets++;
      conditions.changed();
    },
  });
});

afterEach(async () => {
  await reader.close();
  expect(await redis.exists(key)).toBe(0);
  redis.disconnect();
});

const append = (text: string) => appendToStream(redis, key, Buffer.from(text));
const hears = (...messages: string[]) =>
  conditions.until(() => heard.length >= messages.length).then(() => expect(heard).toEqual(messages));

test("hears what is said, in its order", async () => {
  for (const message of ["a", "b", "c"]) await append(message);
  await hears("a", "b", "c");
});

test("hears what two connections of one process say, in whatever order it arrives", async () => {
  const slow = new Redis(inject("redisUrl"), { lazyConnect: true });
  const first = appendToStream(slow, key, Buffer.from("said first")); // It has to connect yet.
  const second = append("there first");
  await Promise.all([first, second]);
  await append("last");
  await conditions.until(() => heard.includes("last"));
  expect(heard.sort()).toEqual(["last", "said first", "there first"]);
  slow.disconnect();
});

test("hears once what is said twice, as when a command is sent again whose answer was lost", async () => {
  await append("a");
  await append("b");
  await hears("a", "b");
  const [entry] = await redis.xrevrange(key, "+", "-", "COUNT", 1);
  await redis.xadd(key, "*", ...(entry as [string, string[]])[1]);
  await append("c");
  await hears("a", "b", "c");
});

test("takes away what it has read: its stream does not grow", async () => {
  const messages = Array.from({ length: 1_000 }, (_, n) => `${n}`);
  await Promise.all(messages.map(append));
  await hears(...messages);
  await append("last");
  // It trims after 100 entries, and never the last that it has read.
  await until("it has trimmed", async () => (await redis.xlen(key)) <= 101);
});

test("goes on when its connection is cut, and says that messages may be missing only if they may be", async () => {
  await append("a");
  await hears("a");
  const clients = String(await redis.call("CLIENT", "LIST")).split("\n");
  const own = clients.filter((line) => line.includes(`name=${key} `) && line.includes("cmd=xread"));
  expect(own).toHaveLength(1);
  await redis.call("CLIENT", "KILL", "ID", /^id=(\d+)/.exec(own[0] as string)?.[1] as string);
  await append("b");
  await hears("a", "b");
  expect(resets).toBe(0);
});

test("makes its stream anew when that is gone, and says so", async () => {
  await append("a");
  await hears("a");
  await redis.del(key);
  expect(await append("lost")).toBeUndefined();
  reader.check();
  await conditions.until(() => resets === 1);
  expect(await append("b")).toMatch(/^\d+-\d+$/);
  await hears("a", "b");
});

test("says so as well when it is told to look and the stream is there, behind what it has not read", async () => {
  await append("a");
  reader.check();
  await conditions.until(() => resets === 1);
  await hears("a");
});

test("has a stream when it is open, also when Redis lost it while it was made", async () => {
  const other = `${key}-other`;
  const pexpire = redis.pexpire.bind(redis);
  vi.spyOn(redis, "pexpire").mockImplementationOnce(async (...args) => {
    await redis.del(other);
    return pexpire(...args);
  });
  const late = await StreamReader.open({ redis, key: other, onMessage() {}, onReset() {} });
  expect(await appendToStream(redis, other, Buffer.from("a"))).toBeDefined();
  await late.close();
});

test("has caught up once it has read all that was in its stream, also when that takes many reads", async () => {
  const messages = Array.from({ length: 3_000 }, (_, n) => `${n}`);
  const said = redis.multi();
  for (const message of messages) said.xadd(key, "*", "r", message);
  await said.exec();
  await reader.caughtUp();
  expect(heard).toEqual(messages);
});

test("has caught up with a stream in which nothing is new, and with one that is gone", async () => {
  await append("a");
  await hears("a");
  await reader.caughtUp();
  await redis.del(key);
  await reader.caughtUp();
});

test("has caught up once it has looked, when it is to look, also while it only connects", async () => {
  reader.check();
  reader.check();
  await reader.caughtUp();
  expect(resets).toBe(1);
});

test.each([
  ["has said that messages may be missing", () => reader.check()],
  ["is closed", () => reader.close()],
])("does not wait for what was in its stream once it %s", async (_, end) => {
  vi.spyOn(redis, "xrevrange").mockResolvedValueOnce([["9999999999999-0", ["r", ""]]]); // Then the stream was lost.
  const caughtUp = reader.caughtUp();
  await append("a");
  await hears("a");
  await end();
  await caughtUp;
});
