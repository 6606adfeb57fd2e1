// biome-ignore-all lint/suspicious/noConsole: what a task prints is what is tested.
/**
 * The tasks of the contract that every task runner keeps. At top level, and by package name, so that a worker thread
 * can import them. What a test wants to know of a run, the run returns: a worker shares no memory with the test.
 */
import {
  Cancelled,
  Failed,
  flow,
  getRunContext,
  getRunLogger,
  SequentialTaskRunner,
  task,
} from "@millrace/core";

export const add = task({ name: "add" }, (a: number, b: number) => a + b);

export const sum = task({ name: "sum" }, (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0));

export const echo = task({ name: "echo" }, (value: unknown) => value);

/** Later elements end earlier. */
export const endInReverse = task({ name: "end-in-reverse" }, async (index: number, count: number) => {
  for (let turn = index; turn < count; turn++) await new Promise(setImmediate);
  return index;
});

export const throwTypeError = task({ name: "throw-type-error" }, () => {
  throw Object.assign(new TypeError("no such column", { cause: new RangeError("row 7") }), {
    column: "delay",
  });
});

export const throwText = task({ name: "throw-text" }, () => {
  throw "just text";
});

export const returnFailed = task({ name: "return-failed" }, () => Failed({ message: "no rows" }));

export const returnCancelled = task({ name: "return-cancelled" }, () => Cancelled({ message: "holiday" }));

/** Fails in the attempts before `attempt`; gives the number of the attempt that succeeded. */
export const succeedInAttempt = task({ name: "succeed-in-attempt" }, (attempt: number) => {
  const { attempt: current } = getRunContext();
  if (current < attempt) throw new Error(`failed in attempt ${current}`);
  return current;
});

export const context = task({ name: "context", tags: ["of-task"] }, () => getRunContext());

export const log = task({ name: "log" }, async (lines: readonly string[]) => {
  for (const line of lines) {
    getRunLogger().info(line);
    await Promise.resolve();
  }
});

export const print = task({ name: "print", logConsole: true }, (line: string) => {
  console.log(line);
});

export const sumOfSquares = task({ name: "sum-of-squares" }, async (numbers: readonly number[]) => {
  const squares = square.map([...numbers]);
  return sum(await squares.results());
});

export const square = task({ name: "square" }, (n: number) => n * n);

export const fibonacci = task({ name: "fibonacci" }, async (n: number): Promise<number> => {
  if (n < 2) return n;
  const [a, b] = [fibonacci.submit(n - 1), fibonacci.submit(n - 2)];
  return (await a) + (await b);
});

export const squares = task({ name: "squares" }, (numbers: readonly number[]) =>
  square.map([...numbers]).results(),
);

/** Recursion as deep as it says. */
export const descend = task({ name: "descend" }, async (levels: number): Promise<number> => {
  return levels === 0 ? 0 : 1 + (await descend(levels - 1));
});

/** What nested runs end with, and what a run that needs a failed one ends with. */
export const nestedFailures = task({ name: "nested-failures" }, async () => {
  const failed = throwTypeError.submit();
  const behind = echo.submit(failed);
  const caught = await failed.result().catch((error: unknown) => error);
  return { caught, behind: (await behind.wait())?.name };
});

export const failInside = task({ name: "fail-inside" }, () => throwTypeError());

/** A nested run that is tried again. */
export const retryInside = task({ name: "retry-inside" }, () =>
  succeedInAttempt.withOptions({ retries: 2, retryDelaySeconds: 0 })(3),
);

/** A nested value goes into nested calls, at any depth, and out again. */
export const passInside = task({ name: "pass-inside" }, async (value: unknown) => {
  const first = echo.submit(value);
  return echo({ deep: [echo.submit([first])] });
});

export const logInside = task({ name: "log-inside" }, async (line: string) => {
  await log([`${line} below`]);
  getRunLogger().info(`${line} above`);
});

export const contextOfNested = task({ name: "context-of-nested" }, () => context.submit());

const nestedFlow = flow({ name: "nested-flow", taskRunner: new SequentialTaskRunner() }, (n: number) =>
  square(n),
);

export const callFlow = task({ name: "call-flow" }, (n: number) => nestedFlow(n));
