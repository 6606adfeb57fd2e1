/** `map` over an async iterable, on every runner. */
import { allowFailure, type LoopFuture, unmapped } from "@millrace/core";
import { describe, expect, test } from "vitest";
import { signal } from "../signal.ts";
import { type RunnerUnderTest, useWorkshop } from "./suite.ts";
import * as tasks from "./tasks.ts";

export function streamingContract(runner: RunnerUnderTest): void {
  const { path, read, exists, inFlow, start } = useWorkshop(runner);

  describe(`the ${runner.name} task runner: map over an async iterable`, () => {
    test("gives futures in the order of the input, whose values results() gives", async () => {
      const source = numbers(300);
      const expected = Array.from({ length: 300 }, (_, n) => n + 1);
      expect(
        await inFlow(async () => {
          const futures: LoopFuture<number>[] = [];
          for await (const future of tasks.add.map(source, unmapped(1))) futures.push(future);
          return Promise.all(futures.map((future) => future.result()));
        }),
      ).toEqual(expected);
      expect(
        await inFlow(async () => {
          const values: number[] = [];
          for await (const value of tasks.add.map(numbers(300), 1).results()) values.push(value);
          return values;
        }),
      ).toEqual(expected);
    });

    test("goes through stages: a stream is mapped over as it comes, and allowFailure lets failures pass", async () => {
      const state = start(async () => {
        const sums = tasks.add.map(tasks.add.map(numbers(100), 1), 1);
        let total = 0;
        for await (const value of sums.results()) total += value;
        const failing = tasks.fail.map(messages());
        const kinds: unknown[] = [];
        for await (const future of tasks.describeInput.map(allowFailure(failing)))
          kinds.push(await future.result());
        return { total, kinds };
      });
      expect(await state.result()).toEqual({ total: 5150, kinds: ["Error no 0", "Error no 1"] });
    });

    test("ends the source when the loop is left, and the flow waits for what was submitted", async () => {
      let hasEnded = false;
      async function* source() {
        try {
          for (;;) yield path("counted");
        } finally {
          hasEnded = true;
        }
      }
      let given = 0;
      await inFlow(async () => {
        for await (const future of tasks.counted.map(source())) {
          await future.result();
          if (++given === 3) break;
        }
        expect(hasEnded).toBe(true);
        return "left";
      });
      expect((await read("counted")).length).toBeGreaterThanOrEqual(3);
    });

    test("an error of the source is thrown where its item would have been", async () => {
      async function* source() {
        yield* numbers(2);
        throw new RangeError("no more rows");
      }
      const values: number[] = [];
      const run = start(async () => {
        for await (const value of tasks.add.map(source(), 1).results()) values.push(value);
      });
      await expect(run.result()).rejects.toThrow("no more rows");
      expect(values).toEqual([1, 2]);
    });

    test("a run that fails is one of many futures; results() throws its error and ends the source", async () => {
      const ended = { early: false };
      async function* source() {
        try {
          yield* messages();
        } finally {
          ended.early = true;
        }
      }
      const names = await inFlow(async () => {
        const names: (string | undefined)[] = [];
        for await (const future of tasks.fail.map(messages())) names.push((await future.wait())?.name);
        const values = tasks.fail.map(source()).results();
        await expect(values.next()).rejects.toThrow("no 0");
        return names;
      });
      expect(names).toEqual(["Failed", "Failed"]);
      expect(ended.early).toBe(true);
    });

    test("a flow that is cancelled ends the stream, also while the source has nothing", async () => {
      const reason = signal<unknown>();
      async function* source() {
        yield path("held");
        await new Promise(() => {});
      }
      const run = start(async () => {
        try {
          for await (const _ of tasks.hold.map(source()));
        } catch (error) {
          reason.send(error);
        }
      });
      await exists("held.started");
      await run.cancel("enough");
      expect(await reason).toMatchObject({ code: "ERR_CANCELLED_RUN", message: "enough" });
    });
  });
}

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) yield n;
}

async function* messages(): AsyncGenerator<string> {
  for await (const n of numbers(2)) yield `no ${n}`;
}
