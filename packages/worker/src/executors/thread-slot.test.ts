import { receiveMessageOnPort } from "node:worker_threads";
import { expect, test } from "vitest";
import type { PendingCall } from "./pending-call.ts";
import { ThreadSlot } from "./thread-slot.ts";

test("an answer goes to the thread without the memory around it", () => {
  const nothing = () => {};
  const slot = new ThreadSlot({
    ...{ onReady: nothing, onDeferred: nothing, onReport: nothing, onStuck: nothing, onLeak: nothing },
  });
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
