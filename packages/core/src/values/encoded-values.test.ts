import { expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import type { Call, TaskRunner } from "../runners/task-runner.ts";
import { EncodedValue, encode } from "./codec.ts";

keepLogs();

/** A runner whose every call gives these bytes, as a worker's would. */
const giving = (bytes: Uint8Array): TaskRunner => ({
  name: "giving",
  open: async () => ({
    submit: (call: Call) =>
      queueMicrotask(() => call.settle({ type: "returned", value: new EncodedValue(bytes) })),
    cancel: () => true,
    close: async () => {},
  }),
});
const give = task({ name: "give" }, (): unknown => "not called");
const echo = task({ name: "echo" }, (value: unknown) => value);
const child = flow({ name: "child" }, async (input: object) => echo.submit(input));

const rows = encode([{ id: 1 }], "value");
const broken = encode([{ id: 1 }], "value").subarray(0, 3);

test("a value that came as bytes is decoded for whoever asks: result, state, another task, the flow's caller", async () => {
  const seen = await flow({ name: "f", taskRunner: giving(rows) }, async () => {
    const future = give.submit();
    return [await future, (await future.wait())?.data, await child([future]), future] as unknown;
  })();
  const value = [{ id: 1 }];
  expect(seen).toEqual([value, value, [value], value]);
});

test("bytes that cannot be decoded are an error for whoever asks, and nothing hangs", async () => {
  const run = flow({ name: "f", taskRunner: giving(broken) }, async () => {
    const future = give.submit();
    const waited = future.wait();
    const errors = [await future.result().catch((error: unknown) => error)];
    errors.push(await child([future]).catch((error: unknown) => error));
    return { errors, state: (await waited)?.type, data: future.state.data };
  }).start();
  const { errors, state, data } = await run.result();
  expect(errors).toEqual([expect.any(Error), expect.any(Error)]);
  expect(state).toBe("COMPLETED");
  expect(data).toBeInstanceOf(Error);
});

test("a flow that returns such a value fails with the error", async () => {
  const run = flow({ name: "f", taskRunner: giving(broken) }, () => [give.submit()]).start();
  expect(await run.wait()).toMatchObject({ type: "FAILED", data: expect.any(Error) });
});
