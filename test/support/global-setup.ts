/**
 * Runs once before all tests and once after them: finds a Redis for them, and checks at the end that they left nothing
 * behind. Tests get the Redis with `inject("redisUrl")`.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import type { TestRedis } from "./find-redis.ts";
import { findLeftKeys, findLeftProcesses, RUN_MARK } from "./leaks.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** The URL of a Redis that answers. */
    redisUrl: string;
    /** The id of this run of the tests. A test's namespace holds it: see test/support/namespace.ts. */
    runId: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runId = randomBytes(4).toString("hex");
  process.env[RUN_MARK] = runId;
  const { findRedis } = await import("./find-redis.ts").catch((cause: unknown) => {
    throw new Error("Expected the packages to be built, since the tests use them so. Run `npm run build`.", {
      cause,
    });
  });
  const redis = await findRedis({
    redisUrl: process.env.MILLRACE_REDIS_URL,
    searchPath: process.env.PATH ?? "",
  });
  // It would change what `new DistributedTaskRunner()` does in the tests; those that want it set it.
  delete process.env.MILLRACE_REDIS_URL;
  // What tests keep is theirs, and goes with them.
  const home = await mkdtemp(join(tmpdir(), "millrace-home-"));
  process.env.MILLRACE_HOME = home;
  project.provide("redisUrl", redis.url);
  project.provide("runId", runId);

  return async () => {
    // Vitest reports an error thrown here, but exits as if there were none; and a teardown that takes too long it cuts
    // off. So the run counts as failed until the checks are through.
    const exitCode = process.exitCode;
    process.exitCode = 1;
    await rm(home, { recursive: true, force: true });
    await checkNothingIsLeft(redis, runId);
    process.exitCode = exitCode;
  };
}

async function checkNothingIsLeft(redis: TestRedis, runId: string): Promise<void> {
  let left: string[];
  try {
    const keys = await findLeftKeys(redis.url, redis.isPrivate ? "*" : `*${runId}*`);
    left = keys.map((key) => `Redis key ${key}`);
  } finally {
    await redis.close();
  }
  left.push(...(await findLeftProcesses(runId)));
  if (left.length === 0) return;
  const list = left.map((name) => `  ${name}`).join("\n");
  throw new Error(`Expected the tests to leave nothing behind, got ${left.length} left over:\n${list}`);
}
