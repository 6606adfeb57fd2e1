import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as errors from "./errors.ts";

const CLASSES: Record<string, () => errors.MillraceError> = {
  UnnamedError: () => new errors.UnnamedError("task"),
  DuplicateTaskNameError: () => new errors.DuplicateTaskNameError("load", "/app/tasks.ts", "1:1", "2:1"),
  InvalidOptionError: () => new errors.InvalidOptionError("retries", "a whole number", "x"),
  UnknownOptionError: () => new errors.UnknownOptionError("task()", "retrys", ["retries"]),
  ParameterError: () => new errors.ParameterError("report", ["`month`: Required"]),
  FlowRunEndedError: () => new errors.FlowRunEndedError("load", "run-1"),
  MissingContextError: () => new errors.MissingContextError("getRunContext()"),
  UnfinishedRunError: () => new errors.UnfinishedRunError("run-1", "NotReady", "Upstream failed."),
  FailedRunError: () => new errors.FailedRunError("no rows"),
  CrashedRunError: () => new errors.CrashedRunError("worker died"),
  CancelledRunError: () => new errors.CancelledRunError("holiday"),
  RunTimeoutError: () => new errors.RunTimeoutError("Task run", 5),
  SelfDependencyError: () => new errors.SelfDependencyError("run-1"),
  LimitExceededError: () => new errors.LimitExceededError("db", 3, 2),
  LimitTimeoutError: () => new errors.LimitTimeoutError(["db"], 5),
  ResultStoreError: () => new errors.ResultStoreError("/srv/results", "written", new Error("EACCES")),
  LostRunError: () => new errors.LostRunError(["run-0"]),
  WaitTimeoutError: () => new errors.WaitTimeoutError(1, 2),
  NothingToMapError: () => new errors.NothingToMapError("load"),
  MapLengthError: () => new errors.MapLengthError("load", [1, 2]),
  MapStreamError: () => new errors.MapStreamError("load", 1, 1),
  NotEncodableError: () => new errors.NotEncodableError("arguments[0].f", "a function", "Send data."),
  DecodeError: () => new errors.DecodeError("a message", "3 bytes"),
  ValueNotLoadedError: () => new errors.ValueNotLoadedError(70_000),
  ValueLostError: () => new errors.ValueLostError(70_000, "its flow run has ended"),
  TaskNotFoundError: () => new errors.TaskNotFoundError("load", "tasks.ts", ["save"]),
  ModulePathError: () => new errors.ModulePathError("../x.ts", "it leads out"),
  ModuleImportError: () => new errors.ModuleImportError("tasks.ts", new Error("boom")),
  SeveralCopiesError: () =>
    new errors.SeveralCopiesError("file:///usr/lib/core/dist/a.js", "file:///app/core/dist/a.js"),
  BrokerUnavailableError: () => new errors.BrokerUnavailableError("redis://queue", "no answer"),
  RedisUnsuitableError: () => new errors.RedisUnsuitableError("too old"),
  SignatureError: () => new errors.SignatureError("{millrace:app}:inbox:w", "unsigned"),
  RedisServerError: () => new errors.RedisServerError("not found"),
  NoWorkersError: () => new errors.NoWorkersError({ queue: "default", seconds: 5, calls: 3 }),
  WorkerStartError: () => new errors.WorkerStartError("exited"),
  WorkerLostError: () => new errors.WorkerLostError("killed"),
};

/** Every class that errors.ts exports, but the abstract one above them. */
const exported = Object.entries(errors)
  .filter(
    ([name, value]) => name !== "MillraceError" && /^class\b/.test(Function.prototype.toString.call(value)),
  )
  .map(([name]) => name);

describe("every error", () => {
  test("is known to this test", () => {
    expect(Object.keys(CLASSES).sort()).toEqual(exported.sort());
  });

  test("is in the catalogue, wherever it is defined", () => {
    const directory = new URL(".", import.meta.url);
    const texts = readdirSync(directory).map((name) => readFileSync(new URL(name, directory), "utf8"));
    const defined = texts.flatMap((text) => [
      ...text.matchAll(/^export class (\w+) extends MillraceError/gm),
    ]);
    expect(defined.map(([, name]) => name).sort()).toEqual(exported.sort());
  });

  test.each(Object.entries(CLASSES))(
    "%s is a MillraceError with its class's name and a code",
    (name, make) => {
      const error = make();
      expect(error).toBeInstanceOf(errors.MillraceError);
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe(name);
      expect(error.code).toMatch(/^ERR_[A-Z_]+$/);
      expect(error.message).not.toBe("");
    },
  );

  test("has a code of its own", () => {
    const codes = Object.values(CLASSES).map((make) => make().code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  test("is listed in docs/errors.md with its code, and nothing else is", () => {
    const page = readFileSync(new URL("../../../../docs/errors.md", import.meta.url), "utf8");
    const rows = [...page.matchAll(/^\| `(ERR_\w+)` +\| `(\w+)` +\| (.+?) +\| (.+?) +\|$/gm)];
    const listed = rows.map(([, code, name]) => `${code} ${name}`);
    expect(listed.sort()).toEqual(
      Object.entries(CLASSES)
        .map(([name, make]) => `${make().code} ${name}`)
        .sort(),
    );
  });
});

describe("messages", () => {
  test("a task that is not found: what there is instead", () => {
    expect(new errors.TaskNotFoundError("load", "tasks.ts", ["save", "send"]).message).toContain(
      'to define a task named "load", found the tasks "save", "send".',
    );
    expect(new errors.TaskNotFoundError("load", "tasks.ts", []).message).toContain("found no task at all.");
  });

  test("a module that fails to load: why, with the cause", () => {
    const cause = new SyntaxError("Unexpected token");
    expect(new errors.ModuleImportError("tasks.ts", cause)).toMatchObject({
      message: expect.stringContaining("SyntaxError: Unexpected token"),
      cause,
    });
    expect(new errors.ModuleImportError("tasks.ts", "text").message).toContain('failed with "text" (string)');
  });

  test("workers of another secret: that there are some, and where secrets are given", () => {
    const facts = { queue: "default", seconds: 5, calls: 1, strangers: 2 };
    expect(new errors.NoWorkersError(facts).message).toMatch(
      /Of 2 workers there the secret is another, .* MILLRACE_SECRET .* --secret-file/,
    );
  });

  test("a value that cannot be sent: where it is", () => {
    expect(CLASSES.NotEncodableError?.()).toMatchObject({ path: "arguments[0].f" });
  });
});

test.each([
  ["text", '"text" (string)'],
  ["x".repeat(100), `"${"x".repeat(77)}..." (string)`],
  [undefined, "undefined"],
  [null, "null"],
  [5, "5 (number)"],
  [5n, "5 (bigint)"],
  [true, "true (boolean)"],
  [Symbol("s"), "Symbol(s) (symbol)"],
  [[1], "an instance of Array"],
  [new Map(), "an instance of Map"],
  [Object.create(null), "an instance of Object"],
  [function named() {}, "function named"],
  [() => {}, "function (anonymous)"],
])("a value is shown short, with its type: %o", (value, expected) => {
  expect(errors.describe(value)).toBe(expected);
});
