/** What a running call asks or tells its flow's process, when it is too long for a message. */
import { decodeOutcome, decodeServiceAnswer, type Request } from "@millrace/broker";
import type { RunEventMap } from "@millrace/core";
import { decode } from "@millrace/core/internal";
import { expect, test } from "vitest";
import { batchOf } from "../../testing/batches.ts";
import { encodedEvent } from "./remote-services.ts";
import { RunningCall } from "./running-call.ts";

const MOST_BYTES = 1_000;

test.each<[string, Request, (answer: { body: Uint8Array }) => Uint8Array]>([
  [
    "a call",
    {
      ...{ type: "submit", crashRetries: 0, priority: 0, queue: "" },
      batch: batchOf("tasks.js", ["a", "x".repeat(MOST_BYTES)]),
    },
    (answer) => decodeOutcome(answer).payload,
  ],
  [
    "a result to keep",
    { type: "write", key: "key", value: new Uint8Array(MOST_BYTES), expiresAt: undefined },
    ({ body }) => (decodeServiceAnswer(body) as { error: Uint8Array }).error,
  ],
])("%s is not sent, and answered by the error that says so", async (_, request, errorOf) => {
  const batch = batchOf("tasks.js", ["outer"]);
  const sent: number[] = [];
  const running = new RunningCall(batch, batch.calls[0]!, [], (_call, { id }) => sent.push(id));
  const answer = await new Promise<{ body: Uint8Array }>((resolve) => {
    running.ask(request, resolve, MOST_BYTES);
  });
  expect(decode(errorOf(answer))).toMatchObject({
    code: "ERR_NOT_ENCODABLE",
    message: expect.stringMatching(/got one of \d+ bytes when it is encoded\. A message has at most 1000 /),
  });
  expect({ sent, isParked: running.isParked }).toEqual({ sent: [], isParked: false });
  running.ask({ type: "read", key: "short" }, () => {}, MOST_BYTES);
  expect(sent).toEqual([2]);
});

test("an event goes without its parameters, or with the beginning of its message", () => {
  const state = { type: "FAILED", name: "Failed", message: "no", timestamp: 1 } as const;
  const event = { flowRunId: "run", flowName: "flow", parameters: "short", state };
  const sentOf = (changes: object) =>
    decode(
      encodedEvent({ ...event, ...changes } as unknown as RunEventMap["flow-run-state"], 2 * MOST_BYTES),
    );
  const long = "x".repeat(3 * MOST_BYTES);
  expect(sentOf({})).toEqual(event);
  const told = { ...state, message: "y".repeat(1.5 * MOST_BYTES) };
  expect(sentOf({ parameters: long, state: told })).toEqual({ ...event, parameters: undefined, state: told });
  expect(sentOf({ state: { ...state, message: long } })).toEqual({
    ...event,
    parameters: undefined,
    state: { ...state, message: "x".repeat(1000) },
  });
});
