import { describe, expect, test } from "vitest";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import { ValueNotLoadedError } from "../errors/errors.ts";
import type { State } from "../futures/state.ts";
import { wait } from "../futures/waiting.ts";
import { MemoryResultStore } from "../results/memory-result-store.ts";
import type { RunnerSession, TaskRunner } from "../runners/task-runner.ts";
import { decode, encode } from "./codec.ts";
import { DistantValue } from "./distant-value.ts";

class Elsewhere extends DistantValue {
  readonly sizeBytes = 70_000;
  fetches = 0;
  readonly #value: unknown;
  #failures: number;

  constructor(value: unknown, failures = 0) {
    super();
    this.#value = value;
    this.#failures = failures;
  }

  protected async fetch(): Promise<Uint8Array> {
    this.fetches++;
    if (this.#failures-- > 0) throw new Error("away");
    return encode(this.#value);
  }
}

/** Gives the value of every call instead of executing it. */
function runnerOf(value: DistantValue, forwards = false): TaskRunner {
  const session: RunnerSession = {
    submit: (call) => queueMicrotask(() => call.settle({ type: "returned", value })),
    cancel: () => true,
    forwards: (asked) => forwards && asked === value,
    async close() {},
  };
  return { name: "elsewhere", open: async () => session };
}

const make = task({ name: "make" }, (_?: unknown): string => "made");

describe("a value that is not in this process", () => {
  test("is loaded once, for whoever asks for it first", async () => {
    const value = new Elsewhere("far");
    const seen = await flow({ name: "f", taskRunner: runnerOf(value) }, async () => {
      const made = make.submit();
      return { all: [await made, await made.result(), (await made.wait())?.data, made.state.data] };
    })();
    expect(seen.all).toEqual(["far", "far", "far", "far"]);
    expect(value.fetches).toBe(1);
  });

  test("is not loaded by those who only wait, and a state says so", async () => {
    const value = new Elsewhere("far");
    await flow({ name: "f", taskRunner: runnerOf(value) }, async () => {
      const made = make.submit();
      await wait([made]);
      const { state } = made;
      expect(state.type).toBe("COMPLETED");
      expect(() => state.data).toThrow(ValueNotLoadedError);
    })();
    expect(value.fetches).toBe(0);
  });

  test.each([true, false])("is loaded for a call, unless the runner passes it on (%s)", async (forwards) => {
    const value = new Elsewhere("far");
    await flow({ name: "f", taskRunner: runnerOf(value, forwards) }, async () => {
      await wait([make.submit(make.submit())]);
    })();
    expect(value.fetches).toBe(forwards ? 0 : 1);
  });

  test("is there for hooks, names, cache keys and kept results", async () => {
    const value = new Elsewhere("far");
    const store = new MemoryResultStore();
    const seen: unknown[] = [];
    const note = ({ parameters }: { parameters: readonly unknown[] }, state?: State) =>
      void seen.push(parameters[0], ...(state?.isCompleted() ? [state.data] : []));
    await flow({ name: "f", taskRunner: runnerOf(value, true), resultStore: store }, async () => {
      const options = {
        ...{ persistResult: true, onRunning: [note], onCompletion: [note] },
        cacheKeyFn: (run: { parameters: readonly unknown[] }) => String(run.parameters[0]),
        taskRunName: "{0}",
      };
      await make.withOptions(options)(make.submit());
    })();
    expect(seen).toEqual(["far", "far", "far"]);
    expect(decode((await store.read("cache:far"))!.value)).toBe("far");
  });

  test("that cannot be loaded is an error for whoever asks, and may be there later", async () => {
    const value = new Elsewhere("far", 2);
    const seen = await flow({ name: "f", taskRunner: runnerOf(value) }, async () => {
      const made = make.submit();
      await expect(made.result()).rejects.toThrow("away");
      const state = await made.wait();
      expect(() => state?.data).toThrow("away");
      return { value: await made };
    })();
    expect(seen).toEqual({ value: "far" });
  });
});
