import { MemoryBroker } from "@millrace/broker";
import { TASK_DEFAULTS } from "@millrace/core/internal";
import { expect, test } from "vitest";
import { Lanes } from "./lanes.ts";

const MAIN_TASK = {
  ...{ fn: () => {}, name: "task", ...TASK_DEFAULTS },
  ...{ callSite: { moduleUrl: import.meta.url, place: "here" }, module: undefined },
};
const LARGE_TASK = { ...MAIN_TASK, queue: "large" };

test("the window of a task is that of its queue's workers, as for one thread while they are not known", async () => {
  const [main, large] = [new MemoryBroker(), new MemoryBroker()];
  await startWorker(main, 2);
  const owner = { flowRunId: "flow-run", flowName: "flow" };
  const options = { noWorkersTimeoutSeconds: 60, batchMs: undefined, owner };
  const lanes = new Lanes({ ...options, broker: main, queue: "default", brokerOf: () => large });
  await lanes.open();
  expect([lanes.windowFor(MAIN_TASK), lanes.windowFor(LARGE_TASK)]).toEqual([200, 100]);
  await new Promise(setImmediate); // That was the first word of the other queue, and has opened its lane.
  expect(lanes.windowFor(LARGE_TASK)).toBe(100);
  await startWorker(large, 3);
  expect([lanes.windowFor(MAIN_TASK), lanes.windowFor(LARGE_TASK)]).toEqual([200, 300]);
  await lanes.close();
});

async function startWorker(broker: MemoryBroker, threads: number): Promise<void> {
  const none = () => {};
  const handlers = { onCancel: none, onHandBack: none, onDropped: none, onAnswer: none };
  await broker.connectWorker({ workerId: `${threads}`, threads }, handlers);
}
