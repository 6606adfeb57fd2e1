/**
 * Finds a Redis for the tests. No test is skipped for want of one: where there is none, it is started, and where it
 * cannot be started, the run fails and says what to install. The ways, in this order:
 *
 * 1. `MILLRACE_REDIS_URL`, a server that is there already;
 * 2. `redis-server` or `valkey-server` on the PATH, started for this run on a port of the loopback interface;
 * 3. a container, where a Docker engine answers;
 * 4. on Debian as root, `apt-get install redis-server`, and then as in 2.
 */
import { createServer } from "node:net";
import { findRedisServer } from "../../packages/runner-distributed/src/redis-executable.ts";
import { startRedisServer } from "../../packages/runner-distributed/src/redis-server.ts";
import { installRedisWithApt } from "../../scripts/ensure-redis.mjs";

export interface TestRedis {
  readonly url: string;
  /** Whether the server was started for this run alone, so that every key in it is a test's. */
  readonly isPrivate: boolean;
  close(): Promise<void>;
}

export interface FindRedisOptions {
  /** The value of MILLRACE_REDIS_URL. */
  readonly redisUrl: string | undefined;
  /** The value of PATH. */
  readonly searchPath: string;
  /** Way 3. Throws where there is no engine. */
  readonly startContainer?: () => Promise<TestRedis>;
  /** The first half of way 4. Throws where it cannot be done. */
  readonly install?: () => void | Promise<void>;
}

const CONTAINER_IMAGE = "redis:7-alpine";
const REDIS_PORT = 6379;
const PORT_ATTEMPTS = 5;

export async function findRedis(options: FindRedisOptions): Promise<TestRedis> {
  const {
    redisUrl,
    searchPath,
    startContainer = startRedisContainer,
    install = installRedisWithApt,
  } = options;
  if (redisUrl) {
    await checkAnswers(redisUrl);
    return { url: redisUrl, isPrivate: false, close: async () => {} };
  }

  const installed = findRedisServer(searchPath);
  if (installed !== undefined) return startOnFreePort(installed);

  const failures: string[] = [];
  try {
    return await startContainer();
  } catch (error) {
    failures.push(`starting a container failed with: ${messageOf(error)}`);
  }
  try {
    await install();
    const executable = findRedisServer(searchPath);
    if (executable !== undefined) return await startOnFreePort(executable);
    failures.push("apt-get installed redis-server, but it is not on the PATH");
  } catch (error) {
    failures.push(`installing redis-server with apt-get failed with: ${messageOf(error)}`);
  }
  throw new Error(
    `Expected a Redis for the tests, got none: MILLRACE_REDIS_URL is not set; neither redis-server nor ` +
      `valkey-server is on the PATH; ${failures.join("; ")}. Install redis-server (such as with \`apt-get install ` +
      "redis-server` or `brew install redis`), start a Docker engine, or set MILLRACE_REDIS_URL.",
  );
}

/** Starts a server over TCP, which is how standing clusters reach theirs. Local clusters test unix sockets. */
async function startOnFreePort(executable: string): Promise<TestRedis> {
  for (let attempt = 1; ; attempt++) {
    try {
      const server = await startRedisServer({ executable, port: await findFreePort() });
      return { url: server.url, isPrivate: true, close: () => server.close() };
    } catch (error) {
      // Another program may take the port between the look and the start.
      if (attempt === PORT_ATTEMPTS || !/address already in use/i.test(messageOf(error))) throw error;
    }
  }
}

/** Asks the system for a port that is free now. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (typeof address !== "object" || address === null)
        throw new Error("Expected the address of a TCP server.");
      server.close(() => resolve(address.port));
    });
  });
}

async function startRedisContainer(): Promise<TestRedis> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer(CONTAINER_IMAGE)
    .withExposedPorts(REDIS_PORT)
    .withCommand(["redis-server", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/i))
    .start();
  return {
    url: `redis://${container.getHost()}:${container.getMappedPort(REDIS_PORT)}`,
    isPrivate: true,
    close: async () => {
      await container.stop();
    },
  };
}

async function checkAnswers(redisUrl: string): Promise<void> {
  const { Redis } = await import("ioredis");
  const redis = new Redis(redisUrl, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 5000 });
  let reason: unknown;
  redis.on("error", (error) => {
    reason = error;
  });
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    const { host } = new URL(redisUrl);
    throw new Error(
      `Expected the Redis of MILLRACE_REDIS_URL to answer at ${host}, got ${messageOf(reason ?? error)}. Start it, or ` +
        "unset MILLRACE_REDIS_URL to let the tests find one.",
    );
  } finally {
    redis.disconnect();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
