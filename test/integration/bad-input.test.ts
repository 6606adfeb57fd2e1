/** What a user can get wrong, and what they are told: an error of its own class, with a code, that says what to do. */
import { createServer } from "node:net";
import {
  BrokerUnavailableError,
  DistributedTaskRunner,
  DuplicateTaskNameError,
  flow,
  InvalidOptionError,
  LocalCluster,
  ModuleImportError,
  NotEncodableError,
  RedisUnsuitableError,
  TaskNotFoundError,
  type TaskRunner,
  task,
  UnknownOptionError,
  UnnamedError,
} from "millrace";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { defineHidden, visible } from "../fixtures/bad/hidden.ts";
import { query } from "../fixtures/bad/throws-in-workers.ts";
import { context, identity } from "../fixtures/tasks.ts";
import { expectClear, thrownBy } from "../support/clear-error.ts";
import { startFakeRedis } from "../support/fake-redis.ts";
import { findFreePort } from "../support/find-redis.ts";
import { expectNoLeaks } from "../support/leaks.ts";
import { keepLogs } from "../support/logs.ts";

vi.setConfig({ testTimeout: 60_000 });
const logged = keepLogs();

describe("definitions", () => {
  test("an unnamed task", async () => {
    const error = await thrownBy(() => import("../fixtures/bad/unnamed.ts"));
    const advice = 'task({ name: "my-task" }, fn)';
    expectClear(error, {
      is: UnnamedError,
      code: "ERR_UNNAMED",
      expected: "a name for this task",
      got: "got an unnamed function",
      advice,
    });
  });

  test("two tasks of one name in one module", async () => {
    const error = await thrownBy(() => import("../fixtures/bad/duplicate-names.ts"));
    expectClear(error, {
      is: DuplicateTaskNameError,
      code: "ERR_DUPLICATE_TASK_NAME",
      expected: /Expected the tasks of \/.*duplicate-names\.ts to have different names/,
      got: /got two named "count" \(at \d+:\d+ and at \d+:\d+\)/,
      advice: "Rename one with task({ name }, fn)",
    });
  });

  const misspelt = "retrys" as "retries";
  test.each<[string, () => unknown, string]>([
    ["task", () => task({ name: "t", [misspelt]: 1 }, () => 1), "retries"],
    ["a task's withOptions", () => identity.withOptions({ [misspelt]: 1 }), "waitFor"],
    ["flow", () => flow({ name: "f", [misspelt]: 1 } as object, () => 1), "taskRunner"],
    [
      "a flow's withOptions",
      () => flow({ name: "f" }, () => 1).withOptions({ [misspelt]: 1 } as object),
      "taskRunner",
    ],
    ["the runner", () => new DistributedTaskRunner({ [misspelt]: 1 } as object), "noWorkersTimeoutSeconds"],
    [
      "the runner's cluster",
      () => new DistributedTaskRunner({ cluster: { [misspelt]: 1 } as object }),
      "threads",
    ],
    ["a cluster", () => new LocalCluster({ [misspelt]: 1 } as object), "threads"],
  ])("an unknown option of %s", async (_, action, known) => {
    const code = "ERR_UNKNOWN_OPTION";
    expectClear(await thrownBy(action), {
      is: UnknownOptionError,
      code,
      expected: /Expected the options of .* to be among/,
      got: "got `retrys`",
      advice: known,
    });
  });

  test("an option of a wrong value", async () => {
    const error = await thrownBy(() => new DistributedTaskRunner({ cluster: {}, redis: "redis://queue" }));
    const code = "ERR_INVALID_OPTION";
    expectClear(error, {
      is: InvalidOptionError,
      code,
      expected: "`redis of new DistributedTaskRunner()`",
      got: /got "redis:\/\/queue"/,
      advice: "left out when `cluster` is given",
    });
  });
});

describe("calls that a worker cannot run", () => {
  let cluster: LocalCluster;
  let taskRunner: TaskRunner;

  beforeAll(async () => {
    cluster = await new LocalCluster({ broker: "memory", workers: 1, threads: 1 }).start();
    taskRunner = new DistributedTaskRunner({ cluster });
  });

  afterAll(() => cluster?.close());

  /** The error of a flow that makes this call, which fails alone and at once: other calls go on, and no retry is spent. */
  async function errorOf(call: () => Promise<unknown>): Promise<unknown> {
    const body = async () => {
      const error = await thrownBy(call);
      return { error, other: await identity("fine") };
    };
    const { error, other } = await flow({ name: "bad", taskRunner }, body)();
    expect(other).toBe("fine");
    expect(logged().filter(({ msg }) => msg.includes("will be tried again"))).toEqual([]);
    return error;
  }

  test("a task that a worker cannot find", async () => {
    const hidden = defineHidden();
    expectClear(await errorOf(() => hidden()), {
      is: TaskNotFoundError,
      code: "ERR_TASK_NOT_FOUND",
      expected: 'Expected module test/fixtures/bad/hidden.ts to define a task named "hidden"',
      got: `found the tasks "${visible.name}"`,
      advice: "Define tasks at the top level of their module",
    });
  });

  test("an argument that cannot be encoded", async () => {
    const value = { rows: [{ onDone: function callback() {} }] };
    const error = await errorOf(() => identity.withOptions({ retries: 3 })(value));
    expectClear(error, {
      is: NotEncodableError,
      code: "ERR_NOT_ENCODABLE",
      expected: "Expected a value that can be sent to another process at `arguments[0].rows[0].onDone`",
      got: "got function callback",
      advice: "Send what the function needs",
    });
  });

  test("a module that throws while it is imported", async () => {
    const error = await errorOf(() => query());
    expectClear(error, {
      is: ModuleImportError,
      code: "ERR_MODULE_IMPORT",
      expected: /Expected module \/.*throws-in-workers\.ts to load in a worker/,
      got: "importing it failed with RangeError: no database on this machine",
      advice: "Mend the module",
    });
    expect((error as Error).cause).toMatchObject({ name: "RangeError", cause: "DB_URL is not set" });
  });
});

describe("a Redis that will not do", () => {
  /** What a flow ends with on a cluster at this URL. It must leave nothing behind. */
  function failureAt(redis: string): Promise<unknown> {
    return expectNoLeaks(async () => {
      const state = await flow({ name: "no-redis", taskRunner: new DistributedTaskRunner({ redis }) }, () =>
        context(),
      )
        .start()
        .wait();
      expect(state.type).toBe("CRASHED");
      return state.data;
    });
  }

  test("a URL that nothing listens at; its password is not shown", async () => {
    const port = await findFreePort();
    const error = await failureAt(`redis://user:secret@127.0.0.1:${port}`);
    expectClear(error, {
      is: BrokerUnavailableError,
      code: "ERR_BROKER_UNAVAILABLE",
      expected: `Expected a Redis server that answers at redis://user:***@127.0.0.1:${port}`,
      got: /got .*ECONNREFUSED/,
      advice: "Start it, or mend the URL in MILLRACE_REDIS_URL or in the `redis` option",
    });
    expect(JSON.stringify(logged())).not.toContain("secret");
  });

  test("a server that takes connections and says nothing", async () => {
    const server = createServer((socket) => socket.on("error", () => {}).resume());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const error = await failureAt(`redis://127.0.0.1:${port}`).finally(() => server.close());
    const code = "ERR_BROKER_UNAVAILABLE";
    expectClear(error, {
      is: BrokerUnavailableError,
      code,
      expected: `127.0.0.1:${port}`,
      got: /got \w+/,
      advice: "Start it",
    });
  });

  test.each(["http://localhost:6379", "localhost", "redis://localhost/queue"])(
    "%s, which is no Redis URL",
    async (url) => {
      const code = "ERR_INVALID_OPTION";
      expectClear(await failureAt(url), {
        is: InvalidOptionError,
        code,
        expected: "the Redis URL",
        got: `got "${url}"`,
        advice: "redis://…",
      });
    },
  );

  test.each([
    ["6.0.16", true],
    ["5.0.7", false],
  ])("a Redis older than 6.2: %s", async (version, knowsHello) => {
    await using old = await startFakeRedis(`redis_version:${version}\r\nmaxmemory_policy:noeviction\r\n`, {
      knowsHello,
    });
    expectClear(await failureAt(old.url), {
      is: RedisUnsuitableError,
      code: "ERR_REDIS_UNSUITABLE",
      expected: "Expected Redis 6.2 or newer",
      got: `got ${version}`,
      advice: "Update the server, or name another in MILLRACE_REDIS_URL",
    });
  });

  test("a Redis that may drop keys", async () => {
    await using evicting = await startFakeRedis("redis_version:7.2.4\r\nmaxmemory_policy:allkeys-lru\r\n");
    expectClear(await failureAt(evicting.url), {
      is: RedisUnsuitableError,
      code: "ERR_REDIS_UNSUITABLE",
      expected: "Expected a Redis server with maxmemory-policy noeviction",
      got: "got allkeys-lru",
      advice: "Set maxmemory-policy to noeviction",
    });
  });
});
