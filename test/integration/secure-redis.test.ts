/** A Redis that speaks TLS with a certificate of one's own, and lets a user do only what docs/security.md lists. */
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import {
  BrokerUnavailableError,
  concurrency,
  DistributedTaskRunner,
  flow,
  InvalidOptionError,
  RedisUnsuitableError,
  taskInputHash,
  unmapped,
} from "millrace";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { fibonacci, hold, identity, inspected, sum } from "../fixtures/tasks.ts";
import { increased, lastOf, lengthPlus, makeBytes } from "../fixtures/value-tasks.ts";
import { type Certificates, makeCertificates } from "../support/certificates.ts";
import { expectClear, thrownBy } from "../support/clear-error.ts";
import { findFreePort } from "../support/find-redis.ts";
import { Gate } from "../support/gate.ts";
import { expectNoLeaks } from "../support/leaks.ts";
import { keepLogs } from "../support/logs.ts";
import { type PrivateRedis, startPrivateRedis } from "../support/private-redis.ts";
import { CLI, killPrograms, run, startWorker, terminate } from "../support/processes.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
const logged = keepLogs();

const NAMESPACE = "shop";
const PASSWORD = "p@ss/w:ord-of-the-user";
const SECRET = "a secret that nobody may see";

let certificates: Certificates;
let server: PrivateRedis;
let address: string;
let admin: Redis;

const urlFor = (user: string, password: string) =>
  `rediss://${user}:${encodeURIComponent(password)}@${address}/0`;

/** The rules of the line that docs/security.md gives. */
function documentedUser(): string[] {
  const page = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
  const [, rules] = /^user millrace (.*)$/m.exec(page) ?? [];
  if (rules === undefined) throw new Error("Expected a line for an ACL file in docs/security.md, got none.");
  return ["millrace", ...rules.replace("PASSWORD", PASSWORD).split(" ")];
}

beforeAll(async () => {
  certificates = makeCertificates();
  const port = await findFreePort();
  const { ca, certificate, key } = certificates;
  server = await startPrivateRedis(
    ...["--port", "0", "--tls-port", `${port}`, "--tls-auth-clients", "no"],
    ...["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca],
    ...["--user", "default", "on", ">admin", "~*", "&*", "+@all"],
    ...["--user", ...documentedUser()],
  );
  address = `127.0.0.1:${port}`;
  admin = new Redis({ host: "127.0.0.1", port, password: "admin", tls: { ca: readFileSync(ca) } });
});

afterAll(async () => {
  admin?.disconnect();
  await server?.kill();
  certificates?.remove();
});

beforeEach(() => {
  vi.stubEnv("MILLRACE_REDIS_CA", certificates.ca);
});

afterEach(async () => {
  await killPrograms();
  vi.unstubAllEnvs();
});

test("flows, workers and commands need no more rights than the documented ones", async () => {
  const redis = urlFor("millrace", PASSWORD);
  const taskRunner = new DistributedTaskRunner({ redis, namespace: NAMESPACE });
  await admin.acl("LOG", "RESET");
  await admin.config("RESETSTAT");
  const worker = await startWorker(NAMESPACE, "--redis", redis, "--threads", "2");
  const limit = (...args: string[]) =>
    run(process.execPath, [CLI, "limit", ...args, "--redis", redis, "--namespace", NAMESPACE]);

  expect(await limit("set", "of-flow", "2")).toMatchObject({ code: 0, stderr: "" });
  expect(await limit("set", "of-task", "1")).toMatchObject({ code: 0, stderr: "" });
  await using gate = await Gate.make();
  const state = await flow({ name: "secure", taskRunner }, async () => {
    const squares = await identity.map(Array.from({ length: 200 }, (_, index) => index)).results();
    const bytes = new Uint8Array(100_000).fill(1);
    const lengths = await lengthPlus.map([1, 2, 3], unmapped(bytes)).results();
    const last = await lastOf(increased.submit(makeBytes.submit(100_000)));
    const cached = identity.withOptions({ cacheKeyFn: taskInputHash, cacheExpirationSeconds: 60 });
    const twice = [await cached("kept"), await cached("kept")];
    const nested = await fibonacci(6);
    const limited = await concurrency("of-flow", () =>
      concurrency("of-flow", () => inspected.withOptions({ tags: ["of-task"] })("limited")),
    );
    const held = hold.submit(gate.directory, "held");
    await gate.waitFor("the call has started", (starts) => starts.length === 1);
    held.cancel();
    return {
      sum: await sum(squares as number[]),
      lengths,
      last,
      twice,
      nested,
      limited,
      held: (await held.wait())?.type,
    };
  })
    .start()
    .wait();
  expect(state.type === "COMPLETED" ? state.data : state).toEqual({
    ...{ sum: 19_900, lengths: [100_001, 100_002, 100_003], last: 8, twice: ["kept", "kept"], nested: 8 },
    ...{ limited: "'limited'", held: "CANCELLED" },
  });
  expect((await limit("list")).stdout).toMatch(/of-flow: 0 of 2 slots held, 0 waiting/);
  expect(await limit("remove", "of-flow")).toMatchObject({ code: 0, stderr: "" });
  expect((await terminate(worker)).code).toBe(0);

  // What Redis has refused to anybody: nothing. And no right is there that nobody uses.
  expect(await admin.acl("LOG")).toEqual([]);
  const used = new Set((await admin.info("commandstats")).match(/(?<=cmdstat_)[\w|]+/g));
  const rights = documentedUser().flatMap((rule) => (rule.startsWith("+") ? [rule.slice(1)] : []));
  expect(rights.filter((right) => !used.has(right))).toEqual([]);
});

test.each([
  ["keys of the namespace", "millrace", "other", "EVAL on {millrace:other}:limits"],
  ["its channels", "deaf", NAMESPACE, `PUBLISH on {millrace:${NAMESPACE}}:limit-news`],
])("a user who may not use the %s is told so", async (_, user, namespace, command) => {
  await admin.acl("SETUSER", "deaf", "on", `>${PASSWORD}`, "~*", "resetchannels", "+@all");
  const taskRunner = new DistributedTaskRunner({ redis: urlFor(user, PASSWORD), namespace });
  const error = await expectNoLeaks(() =>
    thrownBy(() => flow({ name: "denied", taskRunner }, () => identity(1))()),
  );
  expectClear(error, {
    is: RedisUnsuitableError,
    code: "ERR_REDIS_UNSUITABLE",
    expected: `Expected a Redis that lets this user run ${command}`,
    got: /got .*(NOPERM|ACL)/i,
    advice: "docs/security.md",
  });
});

test("a certificate of an authority that is not trusted is a clear error, and no hang", async () => {
  const others = makeCertificates();
  try {
    for (const ca of [others.ca, ""]) {
      vi.stubEnv("MILLRACE_REDIS_CA", ca);
      const taskRunner = new DistributedTaskRunner({
        redis: urlFor("millrace", PASSWORD),
        namespace: NAMESPACE,
      });
      const error = await expectNoLeaks(() =>
        thrownBy(() => flow({ name: "untrusted", taskRunner }, () => identity(1))()),
      );
      expectClear(error, {
        is: BrokerUnavailableError,
        code: "ERR_BROKER_UNAVAILABLE",
        expected: `Expected a Redis server that answers at rediss://millrace:***@${address}/0`,
        got: /got .*certificate/,
        advice: "MILLRACE_REDIS_CA",
      });
    }
  } finally {
    others.remove();
  }
});

test("a file that holds no certificates is a clear error", async () => {
  for (const ca of [certificates.key, "/no/such.pem"]) {
    vi.stubEnv("MILLRACE_REDIS_CA", ca);
    const taskRunner = new DistributedTaskRunner({
      redis: urlFor("millrace", PASSWORD),
      namespace: NAMESPACE,
    });
    const error = await thrownBy(() => flow({ name: "no-ca", taskRunner }, () => identity(1))());
    expectClear(error, {
      is: InvalidOptionError,
      code: "ERR_INVALID_OPTION",
      expected: "Expected `MILLRACE_REDIS_CA` to be the path of a PEM file with certificates",
      got: `got "${ca}"`,
      advice: "PEM file",
    });
  }
});

test("neither the password nor the secret is in what a flow, a worker and their errors say at log level trace", async () => {
  vi.stubEnv("MILLRACE_LOG_LEVEL", "trace");
  vi.stubEnv("MILLRACE_SECRET", SECRET);
  const redis = urlFor("millrace", PASSWORD);
  const worker = await startWorker(NAMESPACE, "--redis", redis, "--threads", "1");
  const taskRunner = new DistributedTaskRunner({ redis, namespace: NAMESPACE });
  const said: unknown[] = [];
  expect(await flow({ name: "secret", taskRunner }, () => identity("fine"))()).toBe("fine");
  // Things go wrong: messages that are not signed, a user who is refused, a Redis that goes away.
  await admin.xadd(`{millrace:${NAMESPACE}}:inbox:${workerIdIn(worker.output.stderr)}`, "*", "r", "odd");
  await until("the worker has refused it", () => worker.output.stderr.includes("could not be read"));
  for (const wrong of [`${PASSWORD}!`, "another"]) {
    const runner = new DistributedTaskRunner({ redis: urlFor("millrace", wrong), namespace: NAMESPACE });
    said.push(await thrownBy(() => flow({ name: "refused", taskRunner: runner }, () => identity(1))()));
  }
  said.push(await thrownBy(() => new DistributedTaskRunner({ redis, secret: "short-one" })));
  const failed = await run(process.execPath, [CLI, "worker", "--redis", urlFor("millrace", `${PASSWORD}?`)]);
  expect(failed.code).toBe(1);
  const exit = await terminate(worker);
  const all = [inspect(said, { depth: 20, showHidden: true }), JSON.stringify(logged())];
  all.push(exit.stdout, exit.stderr, failed.stdout, failed.stderr);
  for (const text of all)
    for (const hidden of [PASSWORD, encodeURIComponent(PASSWORD), SECRET, "short-one"])
      expect(text).not.toContain(hidden);
  expect(all.join("").length).toBeGreaterThan(1_000);
});

function workerIdIn(output: string): string {
  return /Millrace worker ([\w-]+):/.exec(output)?.[1] as string;
}
