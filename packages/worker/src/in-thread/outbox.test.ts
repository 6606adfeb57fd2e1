import { decodeReport, MOST_BATCH_BYTES, type Report } from "@millrace/broker";
import { expect, test } from "vitest";
import { Outbox } from "./outbox.ts";

/** Nearly what travels inside a message at most. */
const PART = new Uint8Array(60_000);
const PARTS = 500;

function open() {
  const sent: { report: Report; sizeBytes: number }[] = [];
  const outbox = new Outbox({
    workerId: () => "worker",
    send: ({ bytes }) => sent.push({ report: decodeReport(bytes), sizeBytes: bytes.length }),
    takeLogs: () => "",
  });
  return { outbox, sent };
}

test.each<[string, (outbox: Outbox, n: number) => void, (report: Report) => readonly number[]]>([
  [
    "results that end together",
    (outbox, n) => outbox.ended("batch", n, { kind: "returned", payload: PART }, 1),
    ({ outcomes }) => outcomes.map(({ sequence }) => sequence),
  ],
  [
    "calls that a loop makes",
    (outbox, n) => outbox.ask("batch", { sequence: 0, id: n, body: PART, given: [] }),
    ({ requests }) => requests.map(({ id }) => id),
  ],
  [
    "values that it gives to them, should they have to travel in the message",
    (outbox, n) =>
      outbox.ask("batch", {
        ...{ sequence: 0, id: n, body: new Uint8Array() },
        given: [{ id: `${n}`, value: PART }],
      }),
    ({ requests }) => requests.map(({ id }) => id),
  ],
])("%s are in several reports, in their order, of a batch's size at most", (_, add, numbersOf) => {
  const { outbox, sent } = open();
  const numbers = Array.from({ length: PARTS }, (_, n) => n);
  for (const n of numbers) add(outbox, n);
  outbox.flush();
  expect(sent.flatMap(({ report }) => numbersOf(report))).toEqual(numbers);
  expect(Math.max(...sent.map(({ sizeBytes }) => sizeBytes))).toBeLessThan(MOST_BATCH_BYTES + PART.length);
  expect(sent).toHaveLength(Math.ceil(PARTS / Math.floor(MOST_BATCH_BYTES / PART.length)));
});

test("what is larger than a batch is in a report of its own", () => {
  const { outbox, sent } = open();
  const large = new Uint8Array(MOST_BATCH_BYTES + 1);
  for (const [n, payload] of [PART, large, PART].entries())
    outbox.ended("batch", n, { kind: "threw", payload }, 1);
  outbox.flush();
  expect(sent.map(({ report }) => report.outcomes.length)).toEqual([1, 1, 1]);
});
