import type { Batch, ValueReference } from "@millrace/broker";
import { encode } from "@millrace/core/internal";
import { describe, expect, test } from "vitest";
import { batchOf, Execution, run, waiting } from "./batches.ts";
import type { ExecutorHarness } from "./executor-endings.contract.ts";

const LARGE = new Uint8Array(200_000).fill(7);

const reference = (id: string): ValueReference => ({ runnerId: "runner", id, sizeBytes: LARGE.length });

/** The part of the executors' contract that is about large values. */
export function describeValues({ executor }: Pick<ExecutorHarness, "executor">): void {
  /** Echoes one value that is kept elsewhere, under each of these ids; and one more echoes what the first returns. */
  function fetching(...ids: string[]): Batch {
    const places = ids.map((_, place) => [place, { inputs: [place] }]);
    const calls = [...ids.map(() => ["echo"] as const), ["echo"] as const];
    const batch = waiting(batchOf("tasks.js", ...calls), {
      ...Object.fromEntries(places),
      [ids.length]: { inputs: [0] },
    });
    return {
      ...batch,
      calls: batch.calls.map((call, place) => {
        const id = ids[place];
        return id === undefined ? call : { ...call, inputs: [reference(id)] };
      }),
    };
  }

  describe("a large value", () => {
    test("comes as an argument, and goes as a result, in memory that is not the caller's", async () => {
      const [ended] = await run(executor(), batchOf("tasks.js", ["echo", LARGE]));
      expect(ended).toEqual({ kind: "returned", value: [LARGE] });
    });

    test("is fetched when it is kept elsewhere, and handed on to other calls", async () => {
      const batch = fetching("a", "b");
      const execution = new Execution(executor(), batch, ({ id }) =>
        id === "a" ? encode(LARGE) : Promise.resolve(encode("small by now")),
      );
      expect((await execution.outcomes).map(({ value }) => value)).toEqual([
        [LARGE],
        ["small by now"],
        [[LARGE]],
      ]);
    });

    test("may be the arguments themselves", async () => {
      const batch = batchOf("tasks.js", ["echo"]);
      const calls = batch.calls.map((call) => ({
        ...{ ...call, args: new Uint8Array(), argsReference: reference("args") },
      }));
      const execution = new Execution(executor(), { ...batch, calls }, async () => encode(["all", LARGE]));
      expect(await execution.outcomes).toEqual([{ kind: "returned", value: ["all", LARGE] }]);
    });

    test("that is lost ends the calls that need it, and those that need these do not start", async () => {
      const execution = new Execution(executor(), fetching("lost", "there"), async ({ id }) =>
        id === "lost" ? undefined : encode(1),
      );
      expect(await execution.kinds).toEqual(["value-lost", "returned", "unstarted"]);
    });

    test("that is still fetched keeps nobody from cancelling the call", async () => {
      let arrives!: (bytes: Uint8Array) => void;
      const value = new Promise<Uint8Array>((resolve) => {
        arrives = resolve;
      });
      const execution = new Execution(executor(), fetching("late"), () => value);
      execution.cancel(0);
      arrives(encode(1));
      expect(await execution.kinds).toEqual(["cancelled", "unstarted"]);
    });
  });
}
