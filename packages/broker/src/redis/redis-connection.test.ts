import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { inspect } from "node:util";
import { BrokerUnavailableError, InvalidOptionError, RedisUnsuitableError } from "@millrace/core";
import { describe, expect, inject, test } from "vitest";
import { useCleanups } from "../../../../test/support/cleanups.ts";
import { startPrivateRedis } from "../../../../test/support/private-redis.ts";
import { until } from "../../../../test/support/until.ts";
import { Wire, type WireLink } from "../../testing/wire.ts";
import { BullMqBroker } from "./bullmq-broker.ts";
import { keysOf } from "./keys.ts";
import { checkRedis, unsuitable } from "./redis-check.ts";
import { connectRedis, doneWithin, duplicateForBlocking, type Redis, subscribe } from "./redis-connection.ts";
import { parseRedisUrl, withoutPassword } from "./redis-url.ts";

const cleanups = useCleanups();

/** The error with which connecting fails, after which nothing may be left. */
async function failureOf(redisUrl: string): Promise<Error> {
  return BullMqBroker.connect({ redisUrl, namespace: "never-used" }).then(
    () => expect.fail("Expected no connection."),
    (error: Error) => error,
  );
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

test("a connection that is cut while it is made is made again", async () => {
  const links = new Set<WireLink>();
  await using wire = await Wire.to(inject("redisUrl"), (_, link) => {
    links.add(link);
    if (links.size < 3) link.cut();
    return true;
  });
  const redis = await connectRedis(wire.redisUrl);
  expect(await redis.ping()).toBe("PONG");
  expect(links.size).toBe(3);
  redis.disconnect();
});

describe("a subscription", () => {
  const isSubscribe = (sent: string) => /\bsubscribe\b/i.test(sent);

  async function listenBetween(passes: (sent: string, link: WireLink) => boolean): Promise<Redis> {
    const wire = await Wire.to(inject("redisUrl"), passes);
    cleanups.push(() => wire[Symbol.asyncDispose]());
    const redis = await connectRedis(wire.redisUrl);
    cleanups.push(() => redis.disconnect());
    return redis;
  }

  test("is made again with its connection", async () => {
    const links: WireLink[] = [];
    const redis = await listenBetween((sent, link) => {
      if (isSubscribe(sent)) links.push(link);
      return true;
    });
    const heard: string[] = [];
    cleanups.push(await subscribe(redis, "channel", (text) => heard.push(text)));
    links[0]?.cut();
    await until("it is made again", () => links.length === 2);
    await until("it is heard", async () => {
      await redis.publish("channel", "again");
      return heard.includes("again");
    });
  });

  // A rejection that nobody handles would fail the run of these tests.
  test("that ends while it is made again ends without an error", async () => {
    const links: WireLink[] = [];
    // The second is not answered.
    const redis = await listenBetween((sent, link) => !isSubscribe(sent) || links.push(link) === 1);
    const unsubscribe = await subscribe(redis, "channel", () => {});
    links[0]?.cut();
    await until("it is asked again", () => links.length === 2);
    unsubscribe();
  });
});

describe("a Redis that is not there", () => {
  test("is named, with the reason, without the password", async () => {
    const port = await listen(() => {});
    await cleanups.pop()!(); // Nobody listens there now.
    const error = await failureOf(`redis://user:secret@127.0.0.1:${port}/3`);
    expect(error).toBeInstanceOf(BrokerUnavailableError);
    expect(error.message).toMatch(
      new RegExp(`at redis://user:\\*\\*\\*@127.0.0.1:${port}/3, got .*ECONNREFUSED`),
    );
    expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain("secret");
  });

  test("nor is a unix socket", async () => {
    const error = await failureOf("unix:///tmp/no-such-directory/redis.sock");
    expect(error).toBeInstanceOf(BrokerUnavailableError);
    expect(error.message).toMatch(/at unix:\/\/\/tmp\/no-such-directory\/redis\.sock, got .*ENOENT/);
  });

  test("or takes connections and says nothing", async () => {
    const port = await listen((socket) => {
      cleanups.push(() => socket.destroy());
    });
    const error = await failureOf(`redis://:secret@127.0.0.1:${port}`);
    expect(error).toBeInstanceOf(BrokerUnavailableError);
    expect(error.message).toMatch(/got no answer within 5 s/);
    expect(error.message).not.toContain("secret");
  });

  test("or closes every connection", async () => {
    const port = await listen((socket) => socket.destroy());
    expect(await failureOf(`redis://127.0.0.1:${port}`)).toBeInstanceOf(BrokerUnavailableError);
  });

  test("or refuses the password, which is not shown", async () => {
    const redis = await startPrivateRedis("--requirepass", "right");
    cleanups.push(() => redis.kill());
    const error = await failureOf(redis.url.replace("//", "//:wrong@"));
    expect(error).toBeInstanceOf(BrokerUnavailableError);
    expect(error.message).toMatch(/WRONGPASS|NOAUTH/);
    expect(inspect(error, { depth: 10 })).not.toContain("wrong");
    const broker = await BullMqBroker.connect({
      redisUrl: redis.url.replace("//", "//:right@"),
      namespace: "n",
    });
    await broker.close();
  });
});

test.each([
  "",
  "localhost:6379",
  "http://localhost:6379",
  "amqp://localhost",
  "redis://localhost:port",
  "redis://localhost/queue",
  "redis://localhost/-1",
  "redis://localhost/1/2",
  "redis://user:%zz@localhost",
  "redis://user:secret/with/slash@localhost",
  "unix://",
  "unix://redis.sock",
  "redis+sentinel://host",
  "redis+sentinel://host/",
  "redis+sentinel:///name",
  "redis+sentinel://host,/name",
  "redis+sentinel://host:port/name",
  "redis+sentinel://host/name/db",
  "redis+sentinel://user:secret@host@other/name",
  "redis+sentinel://user:%zz@host/name",
])("%j is no Redis URL, and the message does not show a password", async (url) => {
  const error = await failureOf(url);
  expect(error).toBeInstanceOf(InvalidOptionError);
  expect(error.message).toMatch(/redis:\/\/…, rediss:\/\/… or unix:\/\/\//);
  expect(error.message).not.toMatch(/secret|%zz/);
});

test.each([
  ["redis://localhost:6379", "redis://localhost:6379"],
  ["redis://user:secret@host/1", "redis://user:***@host/1"],
  ["rediss://:secret@host", "rediss://:***@host"],
  ["redis://:se@cr@et@host", "redis://:***@host"],
  ["redis://:se/cr/et@host", "redis://:***@host"],
  ["unix:///run/redis.sock", "unix:///run/redis.sock"],
  ["redis+sentinel://user:secret@a,b/name", "redis+sentinel://user:***@a,b/name"],
])("%s is shown as %s", (url, shown) => {
  expect(withoutPassword(url)).toBe(shown);
});

test.each<[string, object]>([
  ["redis://host", { host: "host", port: 6379, isEncrypted: false, username: "", password: "", db: 0 }],
  [
    "rediss://me:p%40ss@[::1]:7000/3",
    { host: "::1", port: 7000, isEncrypted: true, username: "me", password: "p@ss", db: 3 },
  ],
  ["unix:///run/redis.sock", { path: "/run/redis.sock" }],
  [
    "redis+sentinel://me:p%40ss@a:1,b.example.com,[::1]:3/my%20master/2",
    {
      sentinels: [
        { host: "a", port: 1 },
        { host: "b.example.com", port: 26379 },
        { host: "::1", port: 3 },
      ],
      ...{ name: "my master", username: "me", password: "p@ss", db: 2 },
    },
  ],
])("%s is read", (url, address) => {
  expect(parseRedisUrl(url)).toEqual(address);
});

describe("a Redis that answers is unsuitable", () => {
  const info = (version: string, policy = "noeviction") =>
    `# Server\r\nredis_version:${version}\r\nos:Linux\r\n# Memory\r\nmaxmemory_policy:${policy}\r\n`;

  test.each([
    ["5.0.14", false],
    ["6.0.20", false],
    ["6.1.9", false],
    ["6.2.0", true],
    ["7.0.15", true],
    ["8.10.2", true],
    ["10.0.0", true],
    ["255.255.255", true],
  ])("by its version %s: %s means suitable", (version, isSuitable) => {
    const problem = unsuitable(info(version));
    if (isSuitable) expect(problem).toBeUndefined();
    else expect(problem).toMatch(`Expected Redis 6.2 or newer, got ${version}.`);
  });

  test.each(["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"])(
    "by its maxmemory-policy %s",
    (policy) => {
      expect(unsuitable(info("7.2.0", policy))).toMatch(`maxmemory-policy noeviction, got ${policy}`);
    },
  );

  test("when it does not tell its version", () => {
    expect(unsuitable("# Server\r\n")).toMatch("got unknown");
  });

  test("and connecting says so, and leaves nothing open", async () => {
    const redis = await startPrivateRedis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru");
    cleanups.push(() => redis.kill());
    const error = await failureOf(redis.url);
    expect(error).toBeInstanceOf(RedisUnsuitableError);
    expect(error.message).toMatch(/noeviction, got allkeys-lru/);
  });
});

test("the Redis of the tests is suitable, in any database", async () => {
  const redis = await connectRedis(`${inject("redisUrl")}/5`);
  await checkRedis(redis, keysOf("any"));
  expect(redis.options.db).toBe(5);
  await redis.quit();
});

test("a blocking read ends when its server does, and the next one reaches the server's successor", async () => {
  const server = await startPrivateRedis();
  cleanups.push(() => server.kill());
  const redis = await connectRedis(server.url);
  cleanups.push(() => redis.disconnect());
  const blocking = duplicateForBlocking(redis);
  cleanups.push(() => blocking.disconnect());
  const read = () => blocking.xread("BLOCK", 60_000, "STREAMS", "stream", "0");
  const ended = read().then(
    () => "read",
    () => "failed",
  );
  await until("it waits", async () => String(await redis.client("LIST")).includes("cmd=xread"));
  await server.kill();
  expect(await ended).toBe("failed");
  const successor = await startPrivateRedis("--port", new URL(server.url).port);
  cleanups.push(() => successor.kill());
  await redis.xadd("stream", "*", "field", "value");
  await until("it is read", () =>
    read().then(
      (streams) => JSON.stringify(streams).includes('"value"'),
      () => false, // Not yet connected again.
    ),
  );
});

test("doneWithin tells whether it was done in time, and never rejects", async () => {
  expect(await doneWithin(10_000, Promise.resolve())).toBe(true);
  expect(await doneWithin(10_000, Promise.reject(new Error("refused")))).toBe(false);
  expect(await doneWithin(1, new Promise(() => {}))).toBe(false);
});
