import { DecodeError, LOG_LEVELS } from "@millrace/core";
import { packMessage } from "@millrace/core/internal";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sampleBatch, sampleReport } from "../../testing/samples.ts";
import { type Batch, decodeBatch, encodeBatch } from "./batch.ts";
import { inSharedMemory } from "./call-values.ts";
import { MOST_MESSAGE_BYTES, WIRE_VERSION } from "./message-fields.ts";
import { decodeReport, encodeReport, OUTCOME_KINDS, type Report } from "./report.ts";
import { decodeWorkerMessage, encodeWorkerMessage, type WorkerMessage } from "./worker-messages.ts";

const count = fc.nat(Number.MAX_SAFE_INTEGER);
const text = fc.string({ unit: "grapheme", maxLength: 20 });
/** As Buffers: that is what views of a message are in Node. */
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));

const references = fc.record({ runnerId: text, id: text, sizeBytes: count });

const batches: fc.Arbitrary<Batch> = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }))
  .chain(([tasks, contexts]) =>
    fc.record({
      id: text,
      runnerId: text,
      logLevel: fc.constantFrom(...LOG_LEVELS),
      tasks: fc.array(
        fc.record({
          module: text,
          entry: fc.option(text, { nil: undefined }),
          name: text,
          timeoutSeconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
        }),
        {
          minLength: tasks,
          maxLength: tasks,
        },
      ),
      contexts: fc.array(
        fc.record({
          scopeId: text,
          flowRunId: text,
          flowName: text,
          flowRunName: text,
          tags: fc.array(text),
          logConsole: fc.boolean(),
          heldLimits: fc.array(text),
          hasLimits: fc.boolean(),
          isObserved: fc.boolean(),
          persistResult: fc.boolean(),
        }),
        { minLength: contexts, maxLength: contexts },
      ),
      calls: fc.uniqueArray(
        fc.record({
          sequence: count,
          task: fc.nat(tasks - 1),
          context: fc.nat(contexts - 1),
          number: count,
          name: text,
          attempt: count,
          args: bytes,
          inputs: fc.array(fc.oneof(bytes, references), { maxLength: 3 }),
          after: fc.constant([]),
        }),
        { minLength: 1, maxLength: 5, selector: ({ sequence }) => sequence },
      ),
      isAlone: fc.boolean(),
    }),
  );

const reports: fc.Arbitrary<Report> = fc.record({
  batchId: text,
  outcomes: fc.array(
    fc.record({
      sequence: count,
      kind: fc.constantFrom(...OUTCOME_KINDS),
      durationMicros: count,
      payload: bytes,
    }),
  ),
  logs: text,
  requests: fc.array(
    fc.record({
      ...{ sequence: count, id: count, body: bytes },
      given: fc.array(fc.record({ id: text, value: fc.oneof(bytes, references) }), { maxLength: 2 }),
    }),
    { maxLength: 3 },
  ),
  parked: fc.array(count, { maxLength: 3 }),
  started: fc.array(count, { maxLength: 3 }),
  workerId: text,
});

const workerMessages: fc.Arbitrary<WorkerMessage> = fc.oneof(
  fc.record({ type: fc.constant("cancel" as const), batchId: text, sequences: fc.array(count) }),
  fc.record({
    type: fc.constant("answer" as const),
    batchId: text,
    sequence: count,
    id: count,
    body: bytes,
  }),
);

describe("what is encoded and decoded is the same:", () => {
  test("a batch", () => {
    fc.assert(
      fc.property(batches, (batch) => {
        expect(decodeBatch(encodeBatch(batch))).toEqual(batch);
      }),
    );
  });

  test("what a runner says to a worker", () => {
    fc.assert(
      fc.property(workerMessages, (message) => {
        expect(decodeWorkerMessage(encodeWorkerMessage(message))).toEqual(message);
      }),
    );
  });

  test("a report", () => {
    fc.assert(
      fc.property(reports, (report) => {
        expect(decodeReport(encodeReport(report))).toEqual(report);
      }),
    );
  });
});

// Whoever can write to the Redis can send these. A worker and a runner must be able to say what is wrong and go on.
describe.each([
  ["batch", decodeBatch, encodeBatch(sampleBatch("runner"))],
  ["report", decodeReport, sampleReport("batch", {}, "line\n").bytes],
  [
    "cancellation",
    decodeWorkerMessage,
    encodeWorkerMessage({ type: "cancel", batchId: "runner.7", sequences: [1, 300] }),
  ],
  [
    "answer",
    decodeWorkerMessage,
    encodeWorkerMessage({ type: "answer", batchId: "runner.7", sequence: 1, id: 2, body: Uint8Array.of(3) }),
  ],
] as const)("a %s from who knows where is decoded, or refused with a DecodeError:", (_, decode, valid) => {
  function decodeOrRefuse(given: Uint8Array): unknown {
    try {
      return decode(given);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
      return undefined;
    }
  }

  test("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (random) => void decodeOrRefuse(random)));
  });

  test("bytes that end too early, wherever", () => {
    for (let length = 0; length < valid.length; length++) {
      expect(() => decode(valid.slice(0, length))).toThrow(DecodeError);
    }
  });

  test("bytes that go on too long", () => {
    expect(() => decode(Buffer.concat([valid, valid]))).toThrow(DecodeError);
  });

  test("one byte changed, to whatever", () => {
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.nat(255), (at, byte) => {
        const mutated = Uint8Array.from(valid);
        mutated[at] = byte;
        decodeOrRefuse(mutated);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([[[]], [[{ toString: "" }]], [[[]]], [[null]], [["1"]]])("another message: %j", (message) => {
    expect(() => decode(packMessage(message))).toThrow(DecodeError);
  });

  test("any other message", () => {
    const values = fc.anything({ maxDepth: 3, withBigInt: false });
    fc.assert(
      fc.property(fc.array(values, { maxLength: 8 }), (message) => {
        expect(decodeOrRefuse(packMessage(message))).toBeUndefined();
        decodeOrRefuse(packMessage([1, ...message]));
      }),
    );
  });

  test("another wire version, with the advice to run one version", () => {
    const other = Uint8Array.from(valid);
    expect(other[1]).toBe(WIRE_VERSION); // Behind the array's head.
    other[1] = WIRE_VERSION + 1;
    expect(() => decode(other)).toThrow(
      new RegExp(
        `version ${WIRE_VERSION}, got version ${WIRE_VERSION + 1} .*run the same version of Millrace`,
      ),
    );
  });
});

test("a message that is too long is not even looked at", () => {
  const long = new Uint8Array(MOST_MESSAGE_BYTES + 1); // Its first byte alone would be a message.
  expect(() => decodeBatch(long)).toThrow(
    `Expected a batch of at most ${MOST_MESSAGE_BYTES} bytes, got ${long.length} bytes.`,
  );
});

describe("a batch is refused when its parts do not fit together:", () => {
  const sample = sampleBatch("runner");
  const call = sample.calls[0]!;
  test.each<[string, Partial<Batch>]>([
    ["a call of a task that it does not list", { calls: [{ ...call, task: 2 }] }],
    ["a call in a context that it does not list", { calls: [{ ...call, context: 1 }] }],
    ["no calls, so that it would never end", { calls: [] }],
    ["a negative number", { calls: [{ ...call, sequence: -1 }] }],
    ["a fraction", { calls: [{ ...call, attempt: 1.5 }] }],
    ["a log level that there is not", { logLevel: "loud" as never }],
    [
      "a time limit that no timer can keep",
      { tasks: [sample.tasks[0]!, { ...sample.tasks[1]!, timeoutSeconds: 1e9 }] },
    ],
    [
      "no time limit, and not 0",
      { tasks: [sample.tasks[0]!, { ...sample.tasks[1]!, timeoutSeconds: Number.NaN }] },
    ],
  ])("%s", (_, part) => {
    expect(() => decodeBatch(encodeBatch({ ...sample, ...part }))).toThrow(DecodeError);
  });
});

describe("large values", () => {
  const large = inSharedMemory(new Uint8Array(100_000).fill(1));
  const reference = { runnerId: "r", id: "v", sizeBytes: 100_000 };

  test("in shared memory go beside a message, each once, and are the same bytes there", () => {
    const [call] = sampleBatch("r").calls;
    const calls = [{ ...call!, args: large, inputs: [large, Buffer.of(1), reference] }];
    const attachments: Uint8Array[] = [];
    const bytes = encodeBatch({ ...sampleBatch("r"), calls }, attachments);
    expect(attachments).toEqual([large]);
    expect(bytes.length).toBeLessThan(2_000);
    const [arrived] = decodeBatch(bytes, attachments).calls;
    expect([arrived?.args, arrived?.inputs[0]].every((value) => value === large)).toBe(true);
    expect(arrived?.inputs.slice(1)).toEqual([Buffer.of(1), reference]);
    expect(() => decodeBatch(bytes)).toThrow(DecodeError);
  });

  test("are in the message where nothing goes beside it", () => {
    const { report } = sampleReport("r.1", { payload: large });
    expect(Buffer.compare(decodeReport(encodeReport(report)).outcomes[0]!.payload, large)).toBe(0);
  });

  test("that are kept are named: arguments, and what was returned, but no error", () => {
    const [call] = sampleBatch("r").calls;
    const named = { ...call!, args: new Uint8Array(), argsReference: reference };
    const [arrived] = decodeBatch(encodeBatch({ ...sampleBatch("r"), calls: [named] })).calls;
    expect(arrived?.argsReference).toEqual(reference);
    const outcome = { payload: new Uint8Array(), reference };
    const [returned] = decodeReport(sampleReport("r.1", outcome).bytes).outcomes;
    expect(returned?.reference).toEqual(reference);
    expect(() => decodeReport(sampleReport("r.1", { ...outcome, kind: "threw" }).bytes)).toThrow(DecodeError);
  });
});
