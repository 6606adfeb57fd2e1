import { describe, expect, test } from "vitest";
import { z } from "zod";
import { keepLogs } from "../../testing/logs.ts";
import { getRunContext } from "../engine/context.ts";
import { InvalidOptionError, ParameterError, UnknownOptionError, UnnamedError } from "../errors/errors.ts";
import { SequentialTaskRunner } from "../runners/sequential-task-runner.ts";
import { flow } from "./flow.ts";
import type { FlowOptions } from "./flow-options.ts";
import { task } from "./task.ts";

const logs = keepLogs();

const add = task({ name: "add" }, (a: number, b: number) => a + b);

describe("a call", () => {
  test("gives what the function returns", async () => {
    expect(
      await flow({ name: "sum" }, async ({ a, b }: { a: number; b: number }) => add(a, b))({ a: 1, b: 2 }),
    ).toBe(3);
  });

  test("of a function that is not async gives a promise too", async () => {
    expect(await flow({ name: "sync" }, () => "done")()).toBe("done");
  });

  test("throws what the function threw, the very same object", async () => {
    class RowError extends Error {
      readonly row = 7;
    }
    const error = new RowError("bad row", { cause: "a comma" });
    const failing = flow({ name: "failing" }, () => {
      throw error;
    });
    await expect(failing()).rejects.toBe(error);
  });

  test("throws what a task threw that the flow awaited", async () => {
    const error = new Error("no network");
    const fetchRows = task({ name: "fetch" }, () => Promise.reject(error));
    await expect(flow({ name: "f" }, () => fetchRows())()).rejects.toBe(error);
  });

  test("says in the log that a run failed, with its id", async () => {
    const run = flow({ name: "failing" }, () => Promise.reject(new Error("boom"))).start();
    await run.wait();
    expect(logs()).toContainEqual(
      expect.objectContaining({
        level: 50,
        flowRunId: run.id,
        flowName: "failing",
        msg: "flow run ended Failed",
      }),
    );
  });
});

describe("parameters", () => {
  const schema = z.object({
    count: z.coerce.number(),
    unit: z.string().default("kg"),
    on: z.coerce.date().optional(),
  });
  const weigh = flow({ name: "weigh", parameters: schema }, (parameters) => parameters);

  test("are checked and converted by the schema, its defaults filled in", async () => {
    expect(await weigh({ count: "3", on: "2024-01-31" })).toEqual({
      count: 3,
      unit: "kg",
      on: new Date("2024-01-31"),
    });
  });

  test("may all have defaults: then the flow can be called without any", async () => {
    const withDefaults = flow(
      { name: "f", parameters: z.object({ n: z.number().default(1) }) },
      ({ n }) => n,
    );
    expect(await withDefaults({})).toBe(1);
    // @ts-expect-error: a schema of an object asks for an object in TypeScript, and does without in JavaScript.
    expect(await withDefaults()).toBe(1);
  });

  test("that do not fit make a run that fails and never runs; the error names each place", async () => {
    let wasCalled = false;
    const strict = flow(
      { name: "strict", parameters: z.object({ rows: z.array(z.object({ id: z.number() })) }) },
      () => {
        wasCalled = true;
      },
    );
    // @ts-expect-error: an id is a number.
    const run = strict.start({ rows: [{ id: 1 }, { id: "2" }] });
    expect(run.state.type).toBe("PENDING");
    const state = await run.wait();
    expect(wasCalled).toBe(false);
    expect(state).toMatchObject({ type: "FAILED", data: expect.any(ParameterError) });
    expect(state.message).toContain('flow "strict"');
    expect(state.message).toContain("`rows.1.id`: ");
    await expect(run.result()).rejects.toThrow(ParameterError);
  });

  test("that are wrong as a whole are an error without a place", async () => {
    // @ts-expect-error: the parameters are an object.
    await expect(weigh("five")).rejects.toThrow(/schema of flow "weigh"; got [^`]*\.$/);
  });

  test("may be checked by an asynchronous schema", async () => {
    const even = z.object({ n: z.number().refine(async (n) => n % 2 === 0, "not even") });
    const halve = flow({ name: "halve", parameters: even }, ({ n }) => n / 2);
    expect(await halve({ n: 4 })).toBe(2);
    await expect(halve({ n: 3 })).rejects.toThrow("`n`: not even");
  });

  test("a schema that throws fails the run with what it threw", async () => {
    const error = new Error("bug in a refinement");
    const broken = z.object({}).refine(() => {
      throw error;
    });
    const run = flow({ name: "f", parameters: broken }, () => 1).start({});
    expect(await run.wait()).toMatchObject({ type: "FAILED", data: error });
  });

  test("without a schema are passed on untouched", async () => {
    const given = { rows: [] };
    expect(await flow({ name: "f" }, (parameters: object) => parameters === given)(given)).toBe(true);
  });
});

describe("a definition", () => {
  test("takes its name from the function, or from the options", () => {
    expect(flow(function nightlyReport() {}).name).toBe("nightlyReport");
    expect(flow({ name: "nightly-report" }, function anything() {}).name).toBe("nightly-report");
  });

  test("without a name is an error that shows the fix", () => {
    expect(() => flow(() => {})).toThrow(UnnamedError);
    expect(() => flow(() => {})).toThrow('write flow({ name: "my-flow" }, fn)');
  });

  test("without a function is an error", () => {
    // @ts-expect-error: the function is missing.
    expect(() => flow({ name: "f" })).toThrow(
      "Expected `the function of flow()` to be a function, got undefined.",
    );
  });

  test("with an unknown option is an error that lists the options", () => {
    // @ts-expect-error: there is no such option.
    const define = () => flow({ name: "f", retires: 1 }, () => {});
    expect(define).toThrow(UnknownOptionError);
    expect(define).toThrow("the options of flow() to be among name, description,");
  });

  test.each([
    { name: "" },
    { name: 5 },
    { description: 5 },
    { version: "" },
    { parameters: {} },
    { parameters: "schema" },
    { parameters: null },
    { taskRunner: "concurrent" },
    { taskRunner: SequentialTaskRunner },
    { tags: "a" },
    { tags: [""] },
    { logConsole: 1 },
  ])("with the wrong option %o is an error that names it", (wrong) => {
    const option = Object.keys(wrong)[0];
    const define = () => flow({ name: "f", ...wrong } as FlowOptions & { parameters?: undefined }, () => {});
    expect(define).toThrow(InvalidOptionError);
    expect(define).toThrow(`\`${option} of flow()\``);
  });
});

describe("withOptions", () => {
  const original = flow({ name: "original", tags: ["a"], logConsole: true }, () => {
    const { flowName, tags, logConsole } = getRunContext();
    return { flowName, tags, logConsole };
  });

  test("changes what it is given, keeps the rest, and leaves the original alone", async () => {
    expect(await original.withOptions({ name: "copy" })()).toEqual({
      flowName: "copy",
      tags: ["a"],
      logConsole: true,
    });
    expect(await original()).toEqual({ flowName: "original", tags: ["a"], logConsole: true });
  });

  test("false and empty lists override; undefined does not", async () => {
    expect(await original.withOptions({ tags: [], logConsole: false })()).toMatchObject({
      tags: [],
      logConsole: false,
    });
    const unchanged = original.withOptions({
      tags: undefined,
      logConsole: undefined,
    } as unknown as FlowOptions);
    expect(await unchanged()).toMatchObject({ tags: ["a"], logConsole: true });
  });

  test("checks its options too", () => {
    expect(() => original.withOptions({ tags: [1] } as unknown as FlowOptions)).toThrow(
      "`tags of withOptions()`",
    );
  });
});
