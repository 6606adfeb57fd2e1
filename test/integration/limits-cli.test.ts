/** `millrace limit`, as it is typed, and what it does to limiters at work. */
import { BullMqBroker } from "@millrace/broker/bullmq";
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import { ownNamespaces } from "../support/own-namespaces.ts";
import { CLI, run } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { UserProject } from "../support/user-project.ts";

vi.setConfig({ testTimeout: 60_000 });
const newNamespace = ownNamespaces();

let namespace: string;

beforeEach(() => {
  namespace = newNamespace();
});

function limit(...args: readonly string[]) {
  const where = ["--redis", inject("redisUrl"), "--namespace", namespace];
  return run(process.execPath, [CLI, "limit", ...args, ...where], { env: { MILLRACE_REDIS_URL: undefined } });
}

const done = { code: 0, signal: null, stdout: "", stderr: "" };

async function listed(): Promise<string> {
  const { stdout, ...rest } = await limit("list");
  expect(rest).toEqual({ code: 0, signal: null, stderr: "" });
  return stdout;
}

test("limits are set, changed, listed by name, and removed", async () => {
  expect(await listed()).toBe("");
  expect(await limit("set", "db", "2")).toEqual(done);
  expect(await limit("set", "api calls", "10", "--slot-decay-per-second", "0.5")).toEqual(done);
  expect(await limit("set", "off", "0")).toEqual(done);
  expect(await listed()).toBe(
    "api calls: 0 of 10 slots held, 0 waiting, 0.5 come back per second\n" +
      "db: 0 of 2 slots held, 0 waiting\n" +
      "off: 0 of 0 slots held, 0 waiting\n",
  );
  expect(await limit("set", "db", "3")).toEqual(done);
  expect(await limit("remove", "off")).toEqual(done);
  expect(await limit("remove", "api calls")).toEqual(done);
  expect(await listed()).toBe("db: 0 of 3 slots held, 0 waiting\n");
});

test("what is set binds limiters at work: who holds and waits is shown, raised it serves, removed it is gone", async () => {
  const broker = await BullMqBroker.connect({ redisUrl: inject("redisUrl"), namespace });
  const limiter = await broker.openLimiter();
  try {
    const request = { names: ["db"], slots: 1, holder: "run", isRate: false };
    expect(await limit("set", "db", "1")).toEqual(done);
    await until("the limit is known", () => limiter.isLimited("db"));
    const held = [await limiter.acquire(request)];
    const waiting = [limiter.acquire(request), limiter.acquire(request)];
    await until("both wait", async () => (await broker.limits().inspect())[0]?.waiting === 2);
    expect(await listed()).toBe("db: 1 of 1 slots held, 2 waiting\n");
    expect(await limit("set", "db", "2")).toEqual(done);
    held.push(await waiting[0]!);
    expect(await listed()).toBe("db: 2 of 2 slots held, 1 waiting\n");
    expect(await limit("remove", "db")).toEqual(done);
    held.push(await waiting[1]!);
    await until("it is forgotten", () => !limiter.isLimited("db"));
    for (const slots of held) slots.release();
  } finally {
    await limiter.close();
    await broker.close();
  }
});

test("the URL comes from MILLRACE_REDIS_URL, the namespace from the project where it is typed", async () => {
  await using project = await UserProject.make({});
  await project.write("package.json", JSON.stringify({ name: namespace, type: "module" }));
  const env = { MILLRACE_REDIS_URL: inject("redisUrl") };
  expect(await run(process.execPath, [CLI, "limit", "set", "db", "4"], { cwd: project.root, env })).toEqual(
    done,
  );
  expect(await listed()).toBe("db: 0 of 4 slots held, 0 waiting\n");
});

describe("what is wrong is said, exits with 1, and changes nothing", () => {
  test.each<[string, string[], RegExp]>([
    [
      "slots that are no number",
      ["set", "db", "many"],
      /value 'many' is invalid for argument 'slots'\. Expected a whole number of 0 or more\./,
    ],
    ["a part of a slot", ["set", "db", "1.5"], /value '1\.5' is invalid/],
    ["an empty number", ["set", "db", ""], /value '' is invalid/],
    ["no slots", ["set", "db"], /missing required argument 'slots'/],
    [
      "a decay of nothing",
      ["set", "db", "1", "--slot-decay-per-second", "0"],
      /argument '0' is invalid\. Expected a number above 0/,
    ],
    ["a limit that is not there", ["remove", "db"], /^ERR_INVALID_OPTION: .*limit to remove.*got "db"/],
    ["an unknown command", ["sett", "db", "1"], /unknown command 'sett'.*Did you mean set\?/s],
  ])("%s", async (_, args, message) => {
    const exit = await limit(...args);
    expect(exit).toMatchObject({ code: 1, signal: null, stdout: "" });
    expect(exit.stderr).toMatch(message);
    expect(exit.stderr).not.toMatch(/\n {4}at /);
    expect(await listed()).toBe("");
  });

  test("no Redis", async () => {
    const exit = await run(process.execPath, [CLI, "limit", "list"], {
      env: { MILLRACE_REDIS_URL: undefined },
    });
    expect(exit).toMatchObject({ code: 1, stdout: "" });
    expect(exit.stderr).toMatch(/^ERR_INVALID_OPTION: Expected `--redis` to be the URL of a Redis/);
  });
});
