import { receiveMessageOnPort } from "node:worker_threads";
import { expect, test } from "vitest";
import { batchOf } from "../../testing/batches.ts";
import { openExecution, type PendingCall } from "./pending-call.ts";
import { ThreadSlot } from "./thread-slot.ts";

const nothing = () => {};
const openSlot = () =>
  new ThreadSlot({
    ...{ onReady: nothing, onDeferred: nothing, onReport: nothing, onStuck: nothing, onLeak: nothing },
  });

test("an answer goes to the thread without the memory around it", () => {
  const slot = openSlot();
  const encodersMemory = new Uint8Array(1_000_000).fill(7);
  const body = encodersMemory.subarray(10, 15);
  slot.answer({ unanswered: 0 } as PendingCall, { batchId: "batch", sequence: 1, id: 2, body });
  const heard = receiveMessageOnPort(slot.start.port)?.message;
  slot.close();
  expect(heard).toEqual({
    type: "answer",
    batchId: "batch",
    sequence: 1,
    id: 2,
    body: new Uint8Array(5).fill(7),
  });
  expect(heard.body.buffer.byteLength).toBe(5);
});

test("a call that was put off and taken back keeps its thread busy when it comes again, and no longer than until it ends", () => {
  const slot = openSlot();
  const { calls } = openExecution(batchOf("tasks.js", ["add", 1, 1]), nothing);
  const call = calls.get(0) as PendingCall;
  slot.calls.add(call);
  slot.calls.deferred(call.number);
  expect(slot.calls.busyCalls).toBe(0);
  expect(slot.takeBack()).toEqual([call]);
  slot.calls.add(call);
  expect(slot.calls.busyCalls).toBe(1);
  slot.ended(call);
  expect(slot.calls).toMatchObject({ busyCalls: 0, busyMs: 0 });
  slot.close();
});
