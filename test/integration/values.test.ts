/** Large values: stored once, passed on without the flow's process, fetched once per worker process, and freed. */
import { Redis } from "ioredis";
import {
  DistributedTaskRunner,
  flow,
  LocalCluster,
  type TaskFuture,
  type TaskRunner,
  unmapped,
  ValueNotLoadedError,
  wait,
} from "millrace";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import * as tasks from "../fixtures/value-tasks.ts";
import { collectGarbage } from "../support/collect-garbage.ts";
import { Gate } from "../support/gate.ts";
import { expectNoLeaks } from "../support/leaks.ts";
import { keepLogs } from "../support/logs.ts";
import { type PrivateRedis, startPrivateRedis } from "../support/private-redis.ts";
import { until } from "../support/until.ts";

vi.setConfig({ testTimeout: 120_000 });
keepLogs();

const MB = 1_000_000;

let taskRunner: TaskRunner;
let cluster: LocalCluster;

function inFlow<R>(body: () => Promise<R>, options = {}) {
  return flow({ name: "values", taskRunner, ...options }, body);
}

/** What is the same wherever the values are kept. */
function sharedTests(): void {
  test("what map gives whole to 1,000 tasks arrives in each of them", async () => {
    const bytes = new Uint8Array(10 * MB);
    const numbers = Array.from({ length: 1000 }, (_, n) => n);
    const results = await inFlow(() => tasks.lengthPlus.map(numbers, unmapped(bytes)).results())();
    expect(results).toEqual(numbers.map((n) => 10 * MB + n));
  });

  test("a large argument, a large result, and one that a flow returns", async () => {
    const bytes = new Uint8Array(MB).fill(1);
    const returned = await inFlow(async () => ({ all: [tasks.increased.submit(bytes)] }))();
    expect(returned).toEqual({ all: [new Uint8Array(MB).fill(2)] });
  });

  test("tasks inside tasks take and give them", async () => {
    const bytes = new Uint8Array(MB).fill(1);
    expect(await inFlow(() => tasks.nestBytes(bytes))()).toEqual([2, 1, MB]);
  });

  test("what a task gives whole to its calls arrives in each of them", async () => {
    await using gate = await Gate.make();
    await gate.open();
    const lengths = await inFlow(() => tasks.nestMap(MB, 100, gate.directory))();
    expect(lengths).toEqual(Array.from({ length: 100 }, (_, n) => MB + n));
  });

  test("each task gets a copy of its own", async () => {
    const seen = await inFlow(async () => {
      const made = tasks.makeBytes.submit(MB, 1);
      await Promise.all([tasks.increased(made), tasks.increased(made)]);
      return tasks.lastOf(made);
    })();
    expect(seen).toBe(1);
  });

  test("hooks, kept results and subflows get the value itself", async () => {
    const seen: unknown[] = [];
    const inner = flow({ name: "inner" }, async ({ bytes }: { bytes: Uint8Array }) => bytes.length);
    await inFlow(async () => {
      const options = {
        persistResult: true,
        onCompletion: [
          (run: { parameters: readonly unknown[] }, state: { data: unknown }) =>
            void seen.push((run.parameters[0] as Uint8Array).length, (state.data as Uint8Array).length),
        ],
      };
      const made = tasks.makeBytes.submit(MB);
      const more = tasks.increased.withOptions(options).submit(made);
      seen.push(await inner({ bytes: more }));
    })();
    expect(seen.sort()).toEqual([MB, MB, MB]);
  });
}

describe("in the embedded mode", () => {
  beforeAll(async () => {
    cluster = await new LocalCluster({ broker: "memory", workers: 2, threads: 1 }).start();
    taskRunner = new DistributedTaskRunner({ cluster });
  });

  afterAll(() => cluster?.close());

  sharedTests();

  test("a chain of ten tasks that pass 50 MB on: nothing of it stays", async () => {
    const size = await inFlow(() => chain(50 * MB))();
    expect(size).toBe(16);
    await until("the values are freed", () => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers < 60 * MB;
    });
  });
});

describe("on a Redis cluster of two worker processes", () => {
  let server: PrivateRedis;
  let redis: Redis;

  beforeAll(async () => {
    server = await startPrivateRedis();
    redis = new Redis(server.url);
    cluster = await new LocalCluster({ broker: "redis", redis: server.url, workers: 2, threads: 1 }).start();
    taskRunner = new DistributedTaskRunner({ cluster });
    await inFlow(() => tasks.lengthPlus.map([1, 2, 3, 4], unmapped(new Uint8Array(1))).results())();
  });

  afterAll(async () => {
    await cluster?.close();
    redis?.disconnect();
    await server?.kill();
  });

  let memoryBefore: number;

  beforeEach(async () => {
    memoryBefore = await info("memory", "used_memory");
  });

  async function info(section: string, field: string): Promise<number> {
    const text = await redis.info(section);
    return Number(new RegExp(`^${field}:(\\d+)`, "m").exec(text)?.[1]);
  }

  const received = () => info("stats", "total_net_input_bytes");
  const sent = () => info("stats", "total_net_output_bytes");

  async function valueKeys(): Promise<string[]> {
    return (await redis.keys("*")).filter((key) => key.includes(":values:"));
  }

  async function keptValues(): Promise<number> {
    const counts = await Promise.all((await valueKeys()).map((key) => redis.hlen(key)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Redis has nothing more than before the test. */
  async function expectAllFreed(): Promise<void> {
    await until("the values are freed", async () => (await valueKeys()).length === 0);
    await until(
      "the memory of Redis is what it was",
      async () => (await info("memory", "used_memory")) < memoryBefore + MB / 2,
    );
  }

  sharedTests();

  test("10 MB given whole to 1,000 tasks are uploaded once, and fetched at most once per process", async () => {
    const [receivedBefore, sentBefore] = await Promise.all([received(), sent()]);
    const numbers = Array.from({ length: 1000 }, (_, n) => n);
    await inFlow(async () => {
      await tasks.lengthPlus.map(numbers, unmapped(new Uint8Array(10 * MB))).results();
      // The last that needs it has ended, though the flow goes on.
      await until("it is freed", async () => (await keptValues()) === 0);
    })();
    // A second upload, or a third fetch, would be 10 MB more.
    expect((await received()) - receivedBefore).toBeLessThan(20 * MB);
    expect((await sent()) - sentBefore).toBeLessThan(30 * MB);
    await expectAllFreed();
  });

  test("10 MB that a task gives whole to its calls go up once, past the flow's process, and down at most once per process", async () => {
    await using gate = await Gate.make();
    const [receivedBefore, sentBefore, readBefore] = [await received(), await sent(), bytesReadHere()];
    await inFlow(async () => {
      const mapped = tasks.nestMap.submit(10 * MB, 200, gate.directory);
      await gate.waitFor("all calls have ended", (starts) => starts.length === 1);
      await until("it is freed, though the task goes on", async () => (await keptValues()) === 0);
      await gate.open();
      expect(await mapped).toHaveLength(200);
    })();
    expect((await received()) - receivedBefore).toBeLessThan(20 * MB);
    expect((await sent()) - sentBefore).toBeLessThan(30 * MB);
    expect(bytesReadHere() - readBefore).toBeLessThan(MB);
    await expectAllFreed();
  });

  test("what a task's calls have returned is freed when the task has it no more, though it goes on", async () => {
    await using gate = await Gate.make();
    const run = inFlow(() => tasks.nestDropped(2 * MB, gate.directory)).start();
    await gate.waitFor("the task has seen them", (starts) => starts.length === 1);
    await until("all are freed", async () => (await keptValues()) === 0);
    await gate.open();
    expect(await run.result()).toEqual([2 * MB, 2 * MB, 2 * MB]);
    await expectAllFreed();
  });

  test("a large argument of a task's call goes past the flow's process, too, and is freed with the call", async () => {
    const [receivedBefore, readBefore] = [await received(), bytesReadHere()];
    await inFlow(async () => {
      expect(await tasks.nestBytes(new Uint8Array(5 * MB).fill(1))).toEqual([2, 1, 5 * MB]);
    })();
    expect(bytesReadHere() - readBefore).toBeLessThan(MB);
    // From the flow, twice from the task, and what one of its calls returned, which another was given.
    expect((await received()) - receivedBefore).toBeLessThan(21 * MB);
    await expectAllFreed();
  });

  test("a chain of ten tasks moves no value of 50 MB through the flow's process", async () => {
    const before = bytesReadHere();
    const last = await inFlow(async () => {
      const last = await chain(50 * MB);
      expect(bytesReadHere() - before).toBeLessThan(MB);
      return last;
    })();
    expect(last).toBe(16);
    await expectAllFreed();
  });

  test("the same one by one, without a graph that is known beforehand", async () => {
    const before = bytesReadHere();
    await inFlow(async () => {
      let bytes = tasks.makeBytes.submit(20 * MB, 1);
      for (let n = 0; n < 4; n++) {
        await wait([bytes]);
        bytes = tasks.increased.submit(bytes);
      }
      expect(await tasks.lastOf(bytes)).toBe(5);
      expect(bytesReadHere() - before).toBeLessThan(MB);
    })();
    await expectAllFreed();
  });

  test("the data of a state is there once somebody has asked for it", async () => {
    await inFlow(async () => {
      const made = tasks.makeBytes.submit(MB);
      await wait([made]);
      const { state } = made;
      expect(state.isCompleted()).toBe(true);
      expect(() => state.data).toThrow(ValueNotLoadedError);
      const waited = await made.wait();
      expect(waited?.data).toHaveLength(MB);
      expect((state.data as Uint8Array).length).toBe(MB);
      expect((made.state.data as Uint8Array).length).toBe(MB);
    })();
  });

  test("a large argument is freed when its call has ended", async () => {
    await inFlow(async () => {
      const bytes = new Uint8Array(2 * MB);
      expect(await tasks.lengthPlus(1, bytes)).toBe(2 * MB + 1);
      await expect(tasks.failWith(bytes)).rejects.toThrow("no use");
      await until("it is freed", async () => (await keptValues()) === 0);
      return "freed before the flow has ended";
    })();
    await expectAllFreed();
  });

  test("a result is freed when nobody has its future, and what needs it has ended", async () => {
    await inFlow(async () => {
      // In a function of its own: a frame that waits holds what it has passed on.
      const lastByte = () => tasks.lastOf(tasks.increased.submit(tasks.makeBytes.submit(2 * MB)));
      expect(await lastByte()).toBe(8);
      await tasks.lastOf(new Uint8Array(1)); // The encoder holds what it encoded last.
      await until("it is freed", async () => {
        collectGarbage();
        return (await keptValues()) === 0;
      });
      return "freed before the flow has ended";
    })();
  });

  describe("all is freed", () => {
    test("after failures", async () => {
      const failing = inFlow(async () => {
        const made = tasks.makeBytes.submit(2 * MB);
        await tasks.failWith.withOptions({ retries: 1 })(made);
      });
      await expect(failing()).rejects.toThrow("no use for bytes");
      await expectAllFreed();
    });

    test("after a cancellation", async () => {
      const run = inFlow(async () => {
        const made = tasks.makeBytes.submit(2 * MB);
        const ends = [made, new Uint8Array(2 * MB)].map((bytes) => tasks.outlast.submit(bytes));
        await wait([made]);
        await wait(ends);
      }).start();
      await until("values are kept", async () => (await keptValues()) > 1);
      await run.cancel();
      expect(run.state.isCancelled()).toBe(true);
      await expectAllFreed();
    });

    test("after a time-out", async () => {
      const limited = tasks.outlast.withOptions({ timeoutSeconds: 0.2 });
      const run = inFlow(() => limited(tasks.makeBytes.submit(2 * MB)));
      await expect(run()).rejects.toThrow("0.2 s");
      await expectAllFreed();
    });

    test("after the death of a worker, which keeps nobody from the values", async () => {
      await using gate = await Gate.make();
      const length = await inFlow(() => tasks.dieOnce(tasks.makeBytes.submit(2 * MB), gate.path("died")))();
      expect(length).toBe(2 * MB);
      await until("values go", async () => (await valueKeys()).length === 0);
      await cluster.waitForWorkers(2);
    });
  });

  describe("when Redis loses what was kept", () => {
    const lose = async () => {
      const keys = await valueKeys();
      expect(keys.length).toBeGreaterThan(0);
      await redis.del(keys);
    };

    test("a result is made again for whoever asks for it, and so on upstream", async () => {
      const length = await inFlow(async () => {
        const made = tasks.makeBytes.submit(MB, 1);
        let last: TaskFuture<Uint8Array> = made;
        for (let n = 0; n < 3; n++) last = tasks.increased.submit(last);
        await wait([last]);
        await lose();
        const bytes = await last;
        expect(bytes.at(-1)).toBe(4);
        return bytes.length;
      })();
      expect(length).toBe(MB);
    });

    test("and for the calls that need it, in every process", async () => {
      const lasts = await inFlow(async () => {
        const made = tasks.makeBytes.submit(MB, 1);
        await wait([made]);
        await lose();
        const sizes = tasks.lengthPlus.map(
          Array.from({ length: 40 }, (_, n) => n),
          made,
        );
        return sizes.results();
      })();
      expect(lasts).toEqual(Array.from({ length: 40 }, (_, n) => MB + n));
    });

    test("what a task has given to its calls it gives again", async () => {
      await using gate = await Gate.make();
      const lengths = await inFlow(async () => {
        const nested = tasks.nestBehind.submit(MB, gate.directory);
        await until("its values are kept", async () => (await keptValues()) === 2);
        await gate.waitFor("others keep the threads", (starts) => starts.length === 2);
        await lose();
        await gate.open();
        return nested;
      })();
      expect(lengths).toEqual([MB, MB + 1, MB + 2, MB + 3, MB - 1]);
      await expectAllFreed();
    });

    test("an argument is put there again", async () => {
      const result = await inFlow(async () => {
        const bytes = new Uint8Array(MB).fill(3);
        const held = tasks.makeBytes.submit(MB, 1);
        await wait([held]);
        const sums = tasks.lengthPlus.map([0, 1], unmapped(bytes));
        const more = tasks.lastOf.submit(tasks.increased.submit(bytes));
        await lose();
        return [...(await sums.results()), await more];
      })();
      expect(result).toEqual([MB, MB + 1, 4]);
    });
  });

  test("nothing is left of a run in the flow's process", async () => {
    await expectNoLeaks(() => inFlow(() => chain(MB))());
  });
});

/** @returns the last byte of what ten tasks have passed on */
async function chain(length: number): Promise<number | undefined> {
  let bytes: TaskFuture<Uint8Array> = tasks.makeBytes.submit(length);
  for (let n = 0; n < 9; n++) bytes = tasks.increased.submit(bytes);
  return tasks.lastOf(bytes);
}

/** Of all open sockets of this process. */
function bytesReadHere(): number {
  const handles = (
    process as unknown as { _getActiveHandles(): { bytesRead?: number }[] }
  )._getActiveHandles();
  return handles.reduce((sum, { bytesRead = 0 }) => sum + bytesRead, 0);
}
