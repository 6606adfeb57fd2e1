import { expect, test } from "vitest";
import { keepLogs } from "../../testing/logs.ts";
import { signal } from "../../testing/signal.ts";
import { flow } from "../definitions/flow.ts";
import { task } from "../definitions/task.ts";
import type { TaskFuture } from "../futures/future.ts";

keepLogs();

test.each<[string, (own: () => TaskFuture<unknown>) => unknown]>([
  ["awaits it", (own) => own()],
  ["waits for it", (own) => own().wait()],
  ["passes it to a task", (own) => add.submit(own() as never)],
  ["passes it on in a task inside", (own) => passOn(own)],
])("a task that awaits its own future, or passes it on, fails and says why: %s", async (_, use) => {
  const isThere = signal();
  let own!: TaskFuture<unknown>;
  const selfish = task({ name: "selfish" }, async () => {
    await isThere;
    return await use(() => own);
  });
  const state = await flow({ name: "f" }, async () => {
    own = selfish.submit();
    isThere.send();
    return { ...(await own.wait()) };
  })();
  expect(state).toMatchObject({ type: "FAILED", data: { code: "ERR_SELF_DEPENDENCY" } });
});

const add = task({ name: "add" }, (n: number) => n + 1);
const passOn = task({ name: "pass-on" }, (own: () => TaskFuture<unknown>) => add(own() as never));
