import { describe, expect, test } from "vitest";
import { batchOf, type CallOf, Execution, run, type Wait, waiting } from "./batches.ts";
import type { ExecutorHarness } from "./executor-endings.contract.ts";

const UNSTARTED = { kind: "unstarted", value: undefined };

/** The part of the executors' contract that is about calls which wait for others of their batch, or go elsewhere. */
export function describeGraphs({ executor, gate }: ExecutorHarness): void {
  const graph = (calls: readonly CallOf[], waits: Readonly<Record<number, Wait>>) =>
    waiting(batchOf("tasks.js", ...calls), waits);

  describe("a call that waits for others of its batch", () => {
    test("gets their values for its arguments", async () => {
      const batch = graph([["echo", "a"], ["echoLater", "b"], ["echo"], ["echo"]], {
        2: { inputs: [0, 1] },
        3: { inputs: [2, 0] },
      });
      const ended = await run(executor(), batch);
      const both = [["a"], "b"];
      expect(ended.slice(2).map(({ value }) => value)).toEqual([both, [both, ["a"]]]);
    });

    test("has its turn in a long chain, each time", async () => {
      for (const task of ["add", "echoLater"]) {
        const length = 300;
        const calls = Array.from({ length }, (_, index): CallOf => (index === 0 ? [task, 1, 1] : [task]));
        const waits = Object.fromEntries(calls.map((_, index) => [index, { inputs: [index - 1] }]).slice(1));
        const ended = await run(executor(), graph(calls, waits));
        expect(ended.every(({ kind }) => kind === "returned")).toBe(true);
        await executor().idle();
      }
    });

    test("waits for those whose value it does not need", async () => {
      const path = gate().path("a");
      const execution = new Execution(
        executor(),
        graph(
          [
            ["hold", path],
            ["echo", 1],
          ],
          { 1: { after: [0] } },
        ),
      );
      await gate().started([path]);
      expect(execution.ended).toBe(0);
      gate().open(path);
      expect(await execution.outcomes).toMatchObject([{ value: "held" }, { value: [1] }]);
      expect(execution.order).toEqual([0, 1]);
    });

    test("is not started when one of them fails, and neither is what waits for it", async () => {
      for (const task of ["fail", "failLater", "giveState"]) {
        const batch = graph([[task], ["echo", 1], ["echo"], ["echo"], ["echo"]], {
          2: { inputs: [1, 0] },
          3: { inputs: [2] },
          4: { inputs: [1] },
        });
        const ended = await run(executor(), batch);
        expect(ended[0]!.kind).not.toBe("returned");
        expect(ended.slice(1)).toEqual([
          { kind: "returned", value: [1] },
          UNSTARTED,
          UNSTARTED,
          { kind: "returned", value: [[1]] },
        ]);
        await executor().idle();
      }
    });

    test("is not started when one of them is cancelled", async () => {
      const path = gate().path("a");
      const execution = new Execution(executor(), graph([["heed", path], ["echo"]], { 1: { inputs: [0] } }));
      await gate().started([path]);
      execution.cancel(0);
      expect(await execution.outcomes).toEqual([{ kind: "cancelled", value: undefined }, UNSTARTED]);
    });

    test("can be cancelled while it waits, and what waits for it is not started", async () => {
      const path = gate().path("a");
      const batch = graph([["hold", path], ["echo"], ["echo"]], { 1: { inputs: [0] }, 2: { inputs: [1] } });
      const execution = new Execution(executor(), batch);
      await gate().started([path]);
      execution.cancel(1);
      gate().open(path);
      expect(await execution.kinds).toEqual(["returned", "cancelled", "unstarted"]);
      expect(execution.problems).toEqual([]);
      await executor().idle();
    });
  });

  describe("a batch that is to be handed back", () => {
    test("gives back what has not started, and ends what has", async () => {
      const { threads } = executor();
      const paths = Array.from({ length: threads + 3 }, (_, index) => gate().path(`${index}`));
      const batch = batchOf("tasks.js", ...paths.map((path): CallOf => ["hold", path]));
      const execution = new Execution(executor(), batch);
      await gate().started(paths.slice(0, threads));
      executor().handBack(batch.id);
      await execution.until(() => execution.ended === 3);
      gate().open(...paths);
      const kinds = await execution.kinds;
      expect(kinds.filter((kind) => kind === "returned")).toHaveLength(threads);
      expect(kinds.filter((kind) => kind === "unstarted")).toHaveLength(3);
      expect(execution.problems).toEqual([]);
    });

    test("gives back what waits for that as well", async () => {
      const paths = Array.from({ length: executor().threads }, (_, index) => gate().path(`${index}`));
      const holds = paths.map((path): CallOf => ["hold", path]);
      const second = gate().path("second");
      const place = holds.length;
      const batch = graph([...holds, ["hold", second], ["echo"]], { [place + 1]: { inputs: [place] } });
      const execution = new Execution(executor(), batch);
      await gate().started(paths);
      executor().handBack(batch.id);
      await execution.until(() => execution.ended === 2);
      gate().open(...paths);
      const kinds = await execution.kinds;
      expect(kinds.slice(-2)).toEqual(["unstarted", "unstarted"]);
    });

    test("that is unknown, or has ended, changes nothing", async () => {
      const batch = batchOf("tasks.js", ["add", 1, 1]);
      executor().handBack(batch.id);
      expect(await run(executor(), batch)).toMatchObject([{ value: 2 }]);
      executor().handBack(batch.id);
      expect(executor().hasRoom()).toBe(true);
    });
  });
}
