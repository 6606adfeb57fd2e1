/** What somebody who can write to the Redis may send to a worker, as a process of its own; and secrets, which keep them out. */
import { existsSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { BullMqBroker } from "@millrace/broker/bullmq";
import { decode } from "@millrace/core/internal";
import fc from "fast-check";
import { Redis } from "ioredis";
import {
  DistributedTaskRunner,
  type DistributedTaskRunnerOptions,
  flow,
  InvalidOptionError,
  LocalCluster,
  ModulePathError,
  NoWorkersError,
  taskInputHash,
} from "millrace";
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import { TestRunner } from "../../packages/broker/testing/parties.ts";
import { sampleBatch } from "../../packages/broker/testing/samples.ts";
import { fibonacci, identity, sum } from "../fixtures/tasks.ts";
import { increased, lastOf } from "../fixtures/value-tasks.ts";
import { expectClear, thrownBy } from "../support/clear-error.ts";
import { keepLogs } from "../support/logs.ts";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { CLI, run, startWorker, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });
const logged = keepLogs();
const newNamespace = ownNamespaces();

const SECRET = "correct horse battery staple";
let namespace: string;

beforeEach(() => {
  namespace = newNamespace();
});

function runnerWith(options: DistributedTaskRunnerOptions = {}): DistributedTaskRunner {
  return new DistributedTaskRunner({ redis: inject("redisUrl"), namespace, ...options });
}

test("a message that names a module outside of the root fails its call with a ModulePathError, and runs nothing", async () => {
  await using project = await UserProject.make({
    "tasks.mjs":
      'import { task } from "millrace";\nexport const fine = task({ name: "fine" }, () => "fine");\n',
  });
  const ran = project.beside("ran");
  const evil = project.beside("evil.mjs");
  await writeFile(
    evil,
    `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(ran)}, "");\n`,
  );
  await symlink(evil, `${project.root}/link.mjs`);
  await symlink(project.beside("."), `${project.root}/up`);
  const worker = await startWorker(namespace, "--root", project.root, "--threads", "1");
  const broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  const runner = await TestRunner.join(broker);

  /** What the call of this task ends with. */
  async function outcomeOf(module: string, name: string, entry?: string): Promise<unknown> {
    const sample = sampleBatch(runner.link.runnerId, new Uint8Array([0x90]));
    const [call] = sample.calls;
    const context = { ...sample.contexts[0]!, heldLimits: [], hasLimits: false, isObserved: false };
    const batch = {
      ...sample,
      tasks: [{ module, entry, name, timeoutSeconds: 0 }],
      contexts: [context],
      calls: [{ ...call!, task: 0, inputs: [] }],
    };
    runner.link.send(batch);
    const outcome = () =>
      runner.reports.filter(({ batchId }) => batchId === batch.id).flatMap(({ outcomes }) => outcomes)[0];
    await runner.until(() => outcome() !== undefined);
    return decode(outcome()!.payload);
  }

  const outside = [
    ...["../evil.mjs", "x/../../evil.mjs", evil, `file://${evil}`, "link.mjs", "up/evil.mjs", "..\\evil.mjs"],
    ...[
      "data:text/javascript,process.exit(1)",
      "node:fs",
      "%2e%2e/evil.mjs",
      "https://example.com/evil.mjs",
      "",
    ],
    ...["tasks.mjs\0", ".", "up", "//host/evil.mjs", `${"../".repeat(50)}${evil}`],
  ];
  for (const module of outside) {
    expect(await outcomeOf(module, "evil"), module).toMatchObject({
      name: "ModulePathError",
      code: "ERR_MODULE_PATH",
    });
    // Where the module is fine and has no such task, the other one that is named is looked at.
    if (module !== "")
      expect(await outcomeOf("tasks.mjs", "evil", module), module).toBeInstanceOf(ModulePathError);
  }
  expect(await outcomeOf("tasks.mjs", "constructor")).toMatchObject({ code: "ERR_TASK_NOT_FOUND" });
  expect(await outcomeOf("tasks.mjs", "fine")).toBe("fine");
  expect(existsSync(ran)).toBe(false);
  await runner.link.close();
  await broker.close();
  expect((await terminate(worker)).code).toBe(0);
});

test("a worker and a flow go on under a flood of messages that are none", async () => {
  const worker = await startWorker(namespace, "--threads", "1");
  const redis = new Redis(inject("redisUrl"));
  const prefix = `{millrace:${namespace}}`;
  const workerId = /Millrace worker ([\w-]+):/.exec(worker.output.stderr)?.[1];
  const body = async () => {
    const started = await identity.map([1, 2, 3]).results();
    const [replies] = await redis.keys(`${prefix}:replies:*`);
    const messages = fc.sample(fc.uint8Array({ maxLength: 300 }), 500);
    for (const message of messages) {
      const bytes = Buffer.from(message);
      await redis
        .pipeline()
        .xadd(`${prefix}:inbox:${workerId}`, "*", "r", bytes)
        .xadd(replies as string, "*", "r", bytes)
        .publish(`${prefix}:worker-news:default`, bytes)
        .publish(`${prefix}:limit-news`, bytes)
        .hset(`${prefix}:limits`, "odd", bytes)
        .exec();
    }
    return sum([...(started as number[]), await fibonacci(5)]);
  };
  expect(await flow({ name: "flooded", taskRunner: runnerWith() }, body)()).toBe(11);
  await redis.quit();
  const { code, stderr } = await terminate(worker);
  expect(code).toBe(0);
  // A line in ten seconds, and not one for each.
  const refusals = [
    (stderr.match(/could not be read/g) ?? []).length,
    logged().filter(({ msg }) => msg.includes("could not be read")).length,
  ];
  for (const lines of refusals) {
    expect(lines).toBeGreaterThan(0);
    expect(lines).toBeLessThan(10);
  }
});

describe("a shared secret", () => {
  test("in a file of the worker, and an option of the runner: everything works", async () => {
    await using project = await UserProject.make({ "secret.txt": `${SECRET}\n` });
    const worker = await startWorker(
      namespace,
      "--threads",
      "2",
      "--secret-file",
      `${project.root}/secret.txt`,
    );
    const body = async () => {
      const bytes = increased.submit(new Uint8Array(100_000));
      const cached = identity.withOptions({ cacheKeyFn: taskInputHash });
      const kept = [await cached("kept"), await cached("kept")];
      return { last: await lastOf(bytes), first: (await bytes)[0], nested: await fibonacci(6), kept };
    };
    const signed = flow({ name: "signed", taskRunner: runnerWith({ secret: SECRET }) }, body);
    expect(await signed()).toEqual({ last: 1, first: 1, nested: 8, kept: ["kept", "kept"] });
    const exit = await terminate(worker);
    expect(exit).toMatchObject({ code: 0, stdout: "" });
    expect(exit.stderr).not.toContain(SECRET);
  });

  test("in MILLRACE_SECRET of both: everything works", async () => {
    vi.stubEnv("MILLRACE_SECRET", SECRET);
    try {
      await startWorker(namespace, "--threads", "1");
      expect(await flow({ name: "signed", taskRunner: runnerWith() }, () => identity(1))()).toBe(1);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("in MILLRACE_SECRET, for a local cluster on a Redis that is named: what it puts there is signed", async () => {
    vi.stubEnv("MILLRACE_SECRET", SECRET);
    const redis = new Redis(inject("redisUrl"));
    await using cluster = new LocalCluster({
      broker: "redis",
      redis: inject("redisUrl"),
      workers: 1,
      threads: 1,
    });
    try {
      const taskRunner = new DistributedTaskRunner({ cluster });
      const queues = await flow({ name: "signed", taskRunner }, async () => {
        await identity(1);
        return redis.keys("{millrace:local-*}:default*:meta");
      })();
      expect(queues).toContainEqual(expect.stringMatching(/:default@[\w-]{12}:meta$/));
    } finally {
      vi.unstubAllEnvs();
      await redis.quit();
    }
  });

  test.each<[string, string | undefined, string | undefined]>([
    ["another than the workers", `${SECRET}!`, SECRET],
    ["none, and the workers have one", undefined, SECRET],
    ["one, and the workers have none", SECRET, undefined],
  ])("a flow with %s says so, soon, and ends", async (_, own, theirs) => {
    vi.stubEnv("MILLRACE_SECRET", theirs ?? "");
    const worker = await startWorker(namespace, "--threads", "1");
    vi.unstubAllEnvs();
    const taskRunner = runnerWith({ noWorkersTimeoutSeconds: 2, ...(own !== undefined && { secret: own }) });
    const running = thrownBy(() => flow({ name: "other-secret", taskRunner }, () => identity(1))());
    await until("it is logged", () => logged().some(({ strangers }) => strangers === 1));
    expectClear(await running, {
      is: NoWorkersError,
      code: "ERR_NO_WORKERS",
      expected: 'Expected a worker for queue "default" within 2 s',
      got: "Of 1 worker there the secret is another, or one of both has none",
      advice: "as MILLRACE_SECRET or --secret-file there",
    });
    expect((await terminate(worker)).stderr).not.toContain("could not be read");
  });

  test.each<[string, string | undefined, RegExp]>([
    [
      "is not there",
      undefined,
      /^ERR_INVALID_OPTION: Expected `--secret-file` to be a file that can be read/,
    ],
    [
      "is short",
      "hunter2\n",
      /^ERR_INVALID_OPTION: Expected `the length of the secret of --secret-file` to be 16/,
    ],
  ])("a file of the worker that %s is an error", async (_, text, message) => {
    await using project = await UserProject.make(text === undefined ? {} : { "secret.txt": text });
    const flags = ["worker", "--redis", inject("redisUrl"), "--secret-file", `${project.root}/secret.txt`];
    const exit = await run(process.execPath, [CLI, ...flags]);
    expect(exit).toMatchObject({ code: 1, stdout: "" });
    expect(exit.stderr).toMatch(message);
    expect(exit.stderr).not.toContain("hunter2");
  });

  test.each([5, "short", null])("an option of the runner that is %j is an error", (secret) => {
    const error = () => new DistributedTaskRunner({ secret: secret as string });
    expect(error).toThrow(InvalidOptionError);
    expect(error).not.toThrow(/"short"/);
  });
});
