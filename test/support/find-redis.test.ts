import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest";
import { findRedisServer } from "../../packages/runner-distributed/src/redis-executable.ts";
import { type FindRedisOptions, findFreePort, findRedis, type TestRedis } from "./find-redis.ts";
import { findLeftKeys } from "./leaks.ts";

let emptyDirectory: string;
const found: TestRedis[] = [];

beforeEach(async () => {
  emptyDirectory = await mkdtemp(join(tmpdir(), "millrace-path-"));
});

afterEach(async () => {
  await Promise.all(found.splice(0).map((redis) => redis.close()));
  await rm(emptyDirectory, { recursive: true });
});

/** Looks for a Redis where there is none, but for what the options offer. */
async function find(options: Partial<FindRedisOptions>): Promise<TestRedis> {
  const redis = await findRedis({
    redisUrl: undefined,
    searchPath: emptyDirectory,
    startContainer: () => Promise.reject(new Error("no engine")),
    install: () => Promise.reject(new Error("no root")),
    ...options,
  });
  found.push(redis);
  return redis;
}

const container: TestRedis = { url: "redis://container:6379", isPrivate: true, close: async () => {} };

describe("the ways to a Redis", () => {
  test("begin with MILLRACE_REDIS_URL, which is not ours to clear", async () => {
    const redisUrl = inject("redisUrl");
    expect(await find({ redisUrl })).toMatchObject({ url: redisUrl, isPrivate: false });
  });

  test("do not go on when MILLRACE_REDIS_URL does not answer", async () => {
    const port = await findFreePort();
    const startContainer = vi.fn(async () => container);
    await expect(find({ redisUrl: `redis://:secret@127.0.0.1:${port}`, startContainer })).rejects.toThrow(
      new RegExp(
        `^Expected the Redis of MILLRACE_REDIS_URL to answer at 127.0.0.1:${port}, got .*ECONNREFUSED`,
      ),
    );
    expect(startContainer).not.toHaveBeenCalled();
  });

  test("go on with a container where no server is on the PATH", async () => {
    const install = vi.fn();
    expect(await find({ startContainer: async () => container, install })).toBe(container);
    expect(install).not.toHaveBeenCalled();
  });

  test("end with a sentence that says what was tried and what to install", async () => {
    await expect(find({})).rejects.toThrow(
      /MILLRACE_REDIS_URL is not set; .* on the PATH; .* failed with: no engine; .* failed with: no root. Install redis-server/,
    );
  });

  test("do not believe an installation without a server", async () => {
    await expect(find({ install: () => {} })).rejects.toThrow("but it is not on the PATH");
  });
});

describe("a server on the PATH", () => {
  const searchPath = process.env.PATH ?? "";

  test("is started for the tests alone, beside others, and is empty", async () => {
    const [one, other] = await Promise.all([find({ searchPath }), find({ searchPath })]);
    expect(one).toMatchObject({
      url: expect.stringMatching(/^redis:\/\/127\.0\.0\.1:\d+$/),
      isPrivate: true,
    });
    expect(other.url).not.toBe(one.url);
    expect(await findLeftKeys(one.url, "*")).toEqual([]);
  });

  test("is started once it is installed", async () => {
    const install = () => symlink(findRedisServer(searchPath)!, join(emptyDirectory, "redis-server"));
    expect((await find({ install })).isPrivate).toBe(true);
  });
});
