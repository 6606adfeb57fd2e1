/** Limits, on every runner. */
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function sharingContract(runner: RunnerUnderTest): void {
  const { exceptions = {} } = runner;
  const { path, read, exists, inFlow } = useWorkshop(runner);
  const one = { concurrencyLimits: { db: 1 } };
  const labels = ["a", "b", "c", "d", "e"];

  /** The most that were inside at the same time, and the order in which they came in. */
  async function visits(file: string): Promise<{ most: number; order: string }> {
    const lines = (await read(file)).trim().split("\n");
    let inside = 0;
    let most = 0;
    for (const line of lines) {
      inside += line.startsWith("+") ? 1 : -1;
      most = Math.max(most, inside);
    }
    return { most, order: lines.flatMap((line) => (line.startsWith("+") ? [line.slice(1)] : [])).join("") };
  }

  describe(`the ${runner.name} task runner: limits`, () => {
    test("as many runs with a tag at once as its limit says, first come, first served", async () => {
      await inFlow(
        () =>
          tasks.limited
            .map(
              labels.map(() => path("log")),
              labels,
            )
            .results(),
        one,
      );
      expect(await visits("log")).toEqual({ most: 1, order: "abcde" });
    });

    test("two flow runs of a process share the limit", async () => {
      const run = () =>
        inFlow(
          () =>
            tasks.limited
              .map(
                labels.map(() => path("log")),
                labels,
              )
              .results(),
          one,
        );
      await Promise.all([run(), run()]);
      expect((await visits("log")).most).toBe(1);
    });

    test("a slot is given back after a failure, a time-out and a cancellation", async () => {
      const seen = await inFlow(async () => {
        const failed = await tasks.limitedFailing.submit().wait();
        const late = await tasks.limitedHeed.withOptions({ timeoutSeconds: 0.05 }).submit(path("a")).wait();
        const running = tasks.limitedHeed.submit(path("b"));
        await exists("b.started");
        const cancelled = await running.cancel();
        await tasks.limited(path("log"), "x");
        return [failed?.name, late?.name, cancelled.name];
      }, one);
      expect(seen).toEqual(["Failed", "TimedOut", "Cancelled"]);
    });

    test.skipIf(exceptions.sharesTheEventLoop)("a slot is given back after a crash", async () => {
      const seen = await inFlow(async () => {
        const crashed = await tasks.limitedDying.submit().wait();
        await tasks.limited(path("log"), "x");
        return crashed?.type;
      }, one);
      expect(seen).toBe("CRASHED");
    });

    test("a run that waits for a slot says so, and can be cancelled", async () => {
      const seen = await inFlow(async () => {
        const running = tasks.limitedHeed.submit(path("a"));
        const waiting = tasks.limited.submit(path("log"), "x");
        await exists("a.started");
        const { name: whileWaiting } = waiting.state;
        const states = [whileWaiting, (await waiting.cancel()).name, (await running.cancel()).name];
        return states;
      }, one);
      expect(seen).toEqual(["AwaitingConcurrencySlot", "Cancelled", "Cancelled"]);
      expect(await read("log")).toBe("");
    });

    test("more than there ever are, as with a limit of 0, is a failure that says so", async () => {
      await expect(
        inFlow(() => tasks.limited(path("log"), "x"), { concurrencyLimits: { db: 0 } }),
      ).rejects.toMatchObject({ code: "ERR_LIMIT_EXCEEDED" });
    });

    test("a task that holds a slot may call one that needs the same", async () => {
      await inFlow(() => tasks.limitedNesting(path("log")), one);
      expect((await visits("log")).order).toBe("inner");
    });

    test("limits hold for tasks inside tasks", async () => {
      await inFlow(
        () => Promise.all([tasks.nestingLimited(path("log"), labels), tasks.limited(path("log"), "f")]),
        one,
      );
      expect((await visits("log")).most).toBe(1);
    });

    test("concurrency() holds a slot while its function runs, however that ends", async () => {
      await inFlow(async () => {
        await tasks.inConcurrencyFailing().catch(() => {});
        return await tasks.inConcurrency
          .map(
            labels.map(() => path("log")),
            labels,
          )
          .results();
      }, one);
      expect((await visits("log")).most).toBe(1);
      expect((await visits("log")).order).toHaveLength(labels.length);
    });

    test("rateLimit() lets so many pass per second", async () => {
      const began = performance.now();
      await inFlow(() => Promise.all(Array.from({ length: 5 }, () => tasks.passRate())), {
        concurrencyLimits: { api: { slots: 1, slotDecayPerSecond: 50 } },
      });
      // Four waits of 20 ms; less would be too fast, whatever the machine does.
      expect(performance.now() - began).toBeGreaterThan(75);
    });
  });
}
