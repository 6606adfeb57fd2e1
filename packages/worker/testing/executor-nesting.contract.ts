import { encodeOutcome } from "@millrace/broker";
import { decode, encode } from "@millrace/core/internal";
import { describe, expect, test } from "vitest";
import { batchOf, type CallOf, Execution, run } from "./batches.ts";
import type { ExecutorHarness } from "./executor-endings.contract.ts";

/** The part of the executors' contract that is about calls which ask, and wait for the answer. */
export function describeNesting({ executor, gate }: ExecutorHarness): void {
  const execute = (...calls: CallOf[]) => new Execution(executor(), batchOf("tasks.js", ...calls));

  describe("a call that makes calls", () => {
    test("asks for them, with what they need to run anywhere, and gets their values", async () => {
      const execution = execute(["nest", "a", "b"]);
      await execution.until(() => execution.requests.length === 2);
      const [a, b] = execution.requests;
      expect([a!.sequence, b!.sequence]).toEqual([0, 0]);
      expect(execution.reports.find(({ requests }) => requests.length > 0)!.workerId).toBe("worker");
      if (a!.request.type !== "submit") throw new Error(`Expected a submit, got ${a!.request.type}.`);
      const { batch } = a!.request;
      expect(batch.tasks).toMatchObject([{ module: expect.stringMatching(/tasks\.js$/), name: "inner" }]);
      expect(batch.contexts).toMatchObject([
        { scopeId: "scope-100.1", flowRunId: "flow-run", flowName: "flow", tags: ["a"] },
      ]);
      expect(decode(batch.calls[0]!.args)).toEqual(["a"]);
      execution.answer(b!, "B");
      execution.answer(a!, "A");
      expect(await execution.outcomes).toEqual([{ kind: "returned", value: ["A", "B"] }]);
    });

    test("gives its place to others while it waits, however many such there are", async () => {
      const many = 30;
      const parents = execute(...Array.from({ length: many }, (_, index): CallOf => ["nest", index]));
      await parents.until(() => parents.requests.length === many);
      while (!executor().hasRoom()) await executor().room();
      expect(await run(executor(), batchOf("tasks.js", ["add", 1, 1]))).toMatchObject([{ value: 2 }]);
      for (const asked of [...parents.requests].reverse()) parents.answer(asked, asked.sequence);
      const ended = await parents.outcomes;
      expect(ended.map(({ value }) => value)).toEqual(Array.from({ length: many }, (_, index) => [index]));
      expect(parents.problems).toEqual([]);
      await executor().idle();
      expect(executor().hasRoom()).toBe(true);
    });

    test("gives up what it asked for when it is cancelled, and ends with the answer", async () => {
      const execution = execute(["nest", 1]);
      await execution.until(() => execution.requests.length === 1);
      execution.cancel(0);
      await execution.until(() => execution.requests.length === 2);
      const [asked, cancel] = execution.requests;
      expect([cancel!.id, cancel!.request]).toEqual([0, { type: "cancel", id: asked!.id }]);
      execution.answer(asked!, "too late");
      expect(await execution.kinds).toEqual(["cancelled"]);
    });

    test("makes none again that it has cancelled, when a value of it was lost meanwhile", async () => {
      const execution = execute(["nest", 1]);
      await execution.until(() => execution.requests.length === 1);
      execution.cancel(0);
      await execution.until(() => execution.requests.length === 2);
      const lost = encodeOutcome({ kind: "value-lost", payload: encode(new Error("lost")) });
      execution.answerRaw(execution.requests[0]!, lost.body);
      expect(await execution.kinds).toEqual(["cancelled"]);
    });

    test("is not disturbed by answers that it does not know", async () => {
      const execution = execute(["nest", 1]);
      await execution.until(() => execution.requests.length === 1);
      const [asked] = execution.requests;
      execution.answer({ ...asked!, id: 4711 }, "stray");
      execution.answer({ ...asked!, sequence: 4711 }, "stray");
      execution.answer(asked!, "mine");
      expect(await execution.outcomes).toEqual([{ kind: "returned", value: ["mine"] }]);
      execution.answer(asked!, "again");
      await executor().idle();
    });

    test.each<[string, Uint8Array]>([
      ["no message", Uint8Array.of(0x92)],
      ["no outcome", Uint8Array.of(0xc0)],
      ["an outcome of no kind", Uint8Array.of(0x92, 0x7f, 0xc4, 0)],
      ["a value that is none", Uint8Array.of(0x92, 0, 0xc4, 2, 0x92, 0x91)],
    ])("fails by an answer that is %s, and others go on beside it", async (_, body) => {
      const execution = execute(["nest", 1], ["nest", 2]);
      await execution.until(() => execution.requests.length === 2);
      const [first, second] = [0, 1].map((call) =>
        execution.requests.find(({ sequence }) => sequence === call),
      );
      execution.answerRaw(first!, body);
      execution.answer(second!, "mine");
      const [failed, fine] = await execution.outcomes;
      expect(failed!.kind).toMatch(/^threw/);
      expect(fine).toEqual({ kind: "returned", value: ["mine"] });
    });

    test("takes no longer, in what is learned of it, because it waited", async () => {
      const startedAt = performance.now();
      const execution = execute(["nest", 1], ["hold", gate().path("a")]);
      await execution.until(() => execution.requests.length === 1);
      await gate().started([gate().path("a")]);
      gate().open(gate().path("a"));
      await execution.until(() => execution.ended === 1);
      // However slow the machine is: longer than all that the call has done so far.
      const waitedMs = 50 + 3 * (performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, waitedMs));
      execution.answer(execution.requests[0]!, 1);
      await execution.outcomes;
      const own = execution.reports
        .flatMap(({ outcomes }) => outcomes)
        .find(({ sequence }) => sequence === 0);
      expect(own!.durationMicros).toBeLessThan(waitedMs * 1000);
    });
  });
}
