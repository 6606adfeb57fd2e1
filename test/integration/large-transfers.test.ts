/** Redis stays away, or is cut off, while a large value is on its way: what waits for it ends, with the reason, and nothing waits for ever. */
import { DistributedTaskRunner, flow } from "millrace";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Wire, type WireLink } from "../../packages/broker/testing/wire.ts";
import * as values from "../fixtures/value-tasks.ts";
import { useCleanups } from "../support/cleanups.ts";
import { keepLogs } from "../support/logs.ts";
import { killPrograms, startWorker } from "../support/processes.ts";
import { RestartableRedis } from "../support/restartable-redis.ts";

vi.setConfig({ testTimeout: 60_000 });
keepLogs();
const cleanups = useCleanups();
afterEach(killPrograms);

/** More than sockets and the kernel take in: 100 MB were tried as well, and take a busy machine long to make. */
const LARGE_BYTES = 20_000_000;

/** Of the flow's side: a piece of the transfer of a large value. */
const UPLOAD = /\r\nhset\r\n\$\d+\r\n\S+:values:/i;
const DOWNLOAD = /\r\nhget\r\n\$\d+\r\n\S+:values:/i;

let redis: RestartableRedis;

beforeEach(async () => {
  redis = await RestartableRedis.start();
  cleanups.push(() => redis[Symbol.asyncDispose]());
});

/** A runner behind a wire that holds the first such transfer, tells, and lets nobody through who comes then. Large values have a connection of their own. */
async function runnerThatIsHeld(transfer: RegExp, onHeld: (link: WireLink) => unknown) {
  const known = new WeakSet<WireLink>();
  const state = { isHeld: false, isHealed: false };
  const wire = await Wire.to(redis.url, (sent, link) => {
    const isLate = state.isHeld && !state.isHealed && !known.has(link);
    known.add(link);
    if (isLate) link.cut();
    if (state.isHeld || !transfer.test(sent)) return !isLate;
    state.isHeld = true;
    onHeld(link);
    return false;
  });
  cleanups.push(() => wire[Symbol.asyncDispose]());
  await startWorker("large", "--redis", redis.url, "--threads", "1");
  const options = { redis: wire.redisUrl, namespace: "large", redisTimeoutSeconds: 1 };
  return { taskRunner: new DistributedTaskRunner(options), heal: () => (state.isHealed = true) };
}

const FAULTS = [
  ["Redis is killed", () => redis.kill()],
  ["its connection alone is cut, and none is made again", (link: WireLink) => link.cut()],
] as const;

test.each(FAULTS)(
  "a large argument is on its way when %s: its call ends, with the reason",
  async (_, fault) => {
    const { taskRunner } = await runnerThatIsHeld(UPLOAD, fault);
    const bytes = new Uint8Array(LARGE_BYTES);
    const { data } = await flow({ name: "up", taskRunner }, () => values.lengthPlus(1, bytes))
      .start()
      .wait();
    expect(data).toMatchObject({ name: "BrokerUnavailableError", message: expect.stringMatching(REASON) });
  },
);

test.each(FAULTS)(
  "a large result is on its way when %s: who asks for it hears the reason",
  async (_, fault) => {
    const { taskRunner } = await runnerThatIsHeld(DOWNLOAD, fault);
    const { data } = await flow({ name: "down", taskRunner }, () => values.makeBytes(LARGE_BYTES))
      .start()
      .wait();
    expect(data).toMatchObject({ name: "BrokerUnavailableError", message: expect.stringMatching(REASON) });
  },
);

test("a large value that was given up can be had when Redis is there again", async () => {
  const { taskRunner, heal } = await runnerThatIsHeld(DOWNLOAD, () => redis.kill());
  const ends = await flow({ name: "again", taskRunner }, async () => {
    const made = values.makeBytes.submit(LARGE_BYTES, 3);
    const given = await made.result().catch((error: Error) => error.name);
    heal();
    await redis.comeBack();
    return [given, (await made.result()).at(-1), await values.lengthPlus(1, new Uint8Array(LARGE_BYTES))];
  })();
  expect(ends).toEqual(["BrokerUnavailableError", 3, LARGE_BYTES + 1]);
});

const REASON = /got none for 1 s/;
