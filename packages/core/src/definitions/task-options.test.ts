import { describe, expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { getRunContext } from "../engine/context.ts";
import { InvalidOptionError, UnknownOptionError, UnnamedError } from "../errors/errors.ts";
import { flow } from "./flow.ts";
import { task } from "./task.ts";
import type { TaskCallOptions, TaskOptions } from "./task-options.ts";

keepLogs();

describe("a definition", () => {
  test("takes its name from the function, or from the options", () => {
    expect(task(function loadRows() {}).name).toBe("loadRows");
    expect(task({ name: "load-rows" }, function anything() {}).name).toBe("load-rows");
  });

  test("without a name is an error that shows the fix", () => {
    expect(() => task(() => 1)).toThrow(UnnamedError);
    expect(() => task({}, () => 1)).toThrow(
      'write task({ name: "my-task" }, fn), or pass a function that has a name.',
    );
  });

  test("without a function is an error", () => {
    // @ts-expect-error: the function is missing.
    expect(() => task({ name: "t" })).toThrow(
      "Expected `the function of task()` to be a function, got undefined.",
    );
  });

  test("with an unknown option is an error that lists the options", () => {
    // @ts-expect-error: there is no such option.
    const define = () => task({ name: "t", retry: 1 }, () => {});
    expect(define).toThrow(UnknownOptionError);
    expect(define).toThrow("the options of task() to be among name, description, version, tags, retries,");
  });

  test.each([
    ["name", [5, "", " "]],
    ["description", [5]],
    ["version", [5, ""]],
    ["tags", ["a", [1], [""]]],
    ["retries", [-1, 1.5, "1", Number.POSITIVE_INFINITY]],
    ["retryDelaySeconds", [-1, Number.NaN, "1", [], [1, -1], new Array(51).fill(1)]],
    ["retryJitterFactor", [-0.1, Number.NaN, "1"]],
    ["crashRetries", [-1, 0.5]],
    ["logConsole", ["yes", 1]],
    ["module", ["", "./tasks.ts", "https://example.org/tasks.ts", 5]],
  ])("with a wrong `%s` is an error that names it", (option, wrongValues) => {
    for (const value of wrongValues) {
      const define = () => task({ name: "t", [option]: value } as TaskOptions, () => {});
      expect(define, String(value)).toThrow(InvalidOptionError);
      expect(define, String(value)).toThrow(`\`${option} of task()\``);
    }
  });

  test("accepts every option at its limits", () => {
    const options: TaskOptions = {
      name: "limits",
      description: "",
      version: "1",
      tags: [],
      retries: 0,
      retryDelaySeconds: new Array(50).fill(0),
      retryJitterFactor: 0,
      crashRetries: 0,
      logConsole: false,
      module: import.meta.url,
    };
    expect(() => task(options, () => {})).not.toThrow();
  });

  test("with a delay function that gives no list of delays is an error", () => {
    const define = () => task({ name: "t", retries: 2, retryDelaySeconds: () => [-1] }, () => {});
    expect(define).toThrow(InvalidOptionError);
    expect(define).toThrow("what retryDelaySeconds of task() gives");
  });

  test("gives its delay function the number of retries, also of withOptions", () => {
    const asked: number[] = [];
    const retryDelaySeconds = (retries: number) => {
      asked.push(retries);
      return [0];
    };
    task({ name: "t", retries: 2, retryDelaySeconds }, () => {}).withOptions({ retryDelaySeconds });
    expect(asked).toEqual([2, 2]);
  });
});

describe("withOptions", () => {
  const seen = task({ name: "seen", tags: ["a"], retries: 1, logConsole: true }, () => {
    const { taskName, tags, logConsole } = getRunContext();
    return { taskName, tags, logConsole };
  });

  test("changes what it is given, keeps the rest, and leaves the original alone", async () => {
    expect(await seen.withOptions({ tags: ["b"] })()).toEqual({
      taskName: "seen",
      tags: ["b"],
      logConsole: true,
    });
    expect(await seen()).toMatchObject({ tags: ["a"] });
  });

  test("0, false and empty lists override; undefined does not", async () => {
    let attempts = 0;
    const fails = task({ name: "fails", retries: 3 }, () => Promise.reject(new Error(`${++attempts}`)));
    await expect(fails.withOptions({ retries: 0 })()).rejects.toThrow("1");
    expect(await seen.withOptions({ tags: [], logConsole: false })()).toMatchObject({
      tags: [],
      logConsole: false,
    });
    const unchanged = seen.withOptions({
      tags: undefined,
      logConsole: undefined,
    } as unknown as TaskCallOptions);
    expect(await unchanged()).toMatchObject({ tags: ["a"], logConsole: true });
  });

  test("keeps waitFor until it is given another", async () => {
    const fails = task({ name: "fails-first" }, () => Promise.reject(new Error("boom")));
    const names = await flow({ name: "f" }, async () => {
      const waits = seen.withOptions({ waitFor: [fails.submit()] });
      const states = [waits, waits.withOptions({ tags: [] }), waits.withOptions({ waitFor: [] })];
      return (await Promise.all(states.map((each) => each.submit().wait()))).map((state) => state?.name);
    })();
    expect(names).toEqual(["NotReady", "NotReady", "Completed"]);
  });

  test.each([{ name: "other" }, { module: import.meta.url }])("cannot change the identity: %o", (options) => {
    // TypeScript refuses it; in JavaScript it would be a task that no worker finds.
    expect(() => seen.withOptions(options as TaskCallOptions)).toThrow(UnknownOptionError);
  });

  test("checks its options", () => {
    expect(() => seen.withOptions({ retries: -1 })).toThrow("`retries of withOptions()`");
    expect(() => seen.withOptions({ waitFor: [1] } as unknown as TaskCallOptions)).toThrow(
      "Expected `waitFor of withOptions()` to be an array of futures or states, got an instance of Array.",
    );
  });
});
