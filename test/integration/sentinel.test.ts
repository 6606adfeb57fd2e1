/** A Redis that Sentinels watch: the master dies in the middle of a flow, and another takes its place. */
import { BrokerUnavailableError, DistributedTaskRunner, flow } from "millrace";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { hold, identity, sum } from "../fixtures/tasks.ts";
import { expectClear, thrownBy } from "../support/clear-error.ts";
import { findFreePort } from "../support/find-redis.ts";
import { Gate } from "../support/gate.ts";
import { expectNoLeaks } from "../support/leaks.ts";
import { keepLogs } from "../support/logs.ts";
import { killPrograms, startWorker, terminate } from "../support/processes.ts";
import { type Sentinels, startSentinels } from "../support/sentinels.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });
keepLogs();

const PASSWORD = "p@ss";
const NAMESPACE = "sentinel";
let sentinels: Sentinels;

beforeAll(async () => {
  sentinels = await startSentinels(PASSWORD);
});

afterEach(killPrograms);
afterAll(() => sentinels?.close());

const urlOf = (hosts: string, name: string) =>
  `redis+sentinel://default:${encodeURIComponent(PASSWORD)}@${hosts}/${name}/0`;

test("a flow goes on over a failover, and ends with the right answer", async () => {
  const redis = urlOf(sentinels.hosts, sentinels.masterName);
  const worker = await startWorker(NAMESPACE, "--redis", redis, "--threads", "2");
  await using gate = await Gate.make();
  const first = await sentinels.masterPort();
  const result = await expectNoLeaks(async () => {
    const taskRunner = new DistributedTaskRunner({ redis, namespace: NAMESPACE });
    const run = flow({ name: "failover", taskRunner }, async () => {
      const before = await identity.map(Array.from({ length: 300 }, (_, index) => index)).results();
      const held = hold.submit(gate.directory, "held"); // Under way when the master dies.
      const waiting = identity.map(Array.from({ length: 300 }, (_, index) => 300 + index));
      const { name } = await held;
      const after = await identity.map(Array.from({ length: 300 }, (_, index) => 600 + index)).results();
      return { name, sum: await sum([...before, ...(await waiting.results()), ...after] as number[]) };
    }).start();
    await gate.waitFor("a call is under way", (starts) => starts.length === 1);
    sentinels.killMaster();
    await until("another is the master", async () => (await sentinels.masterPort()) !== first);
    await gate.open();
    return run.result();
  });
  expect(result).toEqual({ name: "held", sum: (899 * 900) / 2 });
  expect((await terminate(worker)).code).toBe(0);
});

test.each([
  ["Sentinels that are not there", async () => urlOf(`127.0.0.1:${await findFreePort()}`, "the-master")],
  ["a name that they do not know", async () => urlOf(sentinels.hosts, "another")],
])("%s are a clear error, and no hang", async (_, url) => {
  const redis = await url();
  const error = await expectNoLeaks(() => {
    const taskRunner = new DistributedTaskRunner({ redis, namespace: NAMESPACE });
    return thrownBy(() => flow({ name: "nowhere", taskRunner }, () => identity(1))());
  });
  expectClear(error, {
    is: BrokerUnavailableError,
    code: "ERR_BROKER_UNAVAILABLE",
    expected: `answers at ${redis.replace(encodeURIComponent(PASSWORD), "***")}, got`,
    got: /sentinel/i,
    advice: "mend the URL in MILLRACE_REDIS_URL",
  });
});
