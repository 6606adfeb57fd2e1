import type { Batch } from "../src/wire/batch.ts";
import { type CallOutcome, type EncodedReport, encodeReport, type Report } from "../src/wire/report.ts";

/** Bytes that are no text, every value of a byte once. */
export const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);

let count = 0;

/** A batch of one call for this runner; brokers never look at what is in it. */
export function sampleBatch(runnerId: string, args: Uint8Array = ALL_BYTES): Batch {
  return {
    id: `${runnerId}.${++count}`,
    runnerId,
    logLevel: "info",
    isAlone: false,
    tasks: [
      { module: "src/tasks.ts", entry: undefined, name: "zähle → 数", timeoutSeconds: 0 },
      { module: "src/more tasks.mjs", entry: "src/main.ts", name: "add", timeoutSeconds: 1.5 },
    ],
    contexts: [
      {
        ...{ scopeId: "scope", flowRunId: "flow-run", flowName: "report", flowRunName: "brisk-otter" },
        ...{
          tags: ["a", "b"],
          logConsole: true,
          heldLimits: ["db"],
          hasLimits: true,
          isObserved: true,
          persistResult: false,
        },
      },
    ],
    calls: [
      {
        sequence: 0,
        task: 1,
        context: 0,
        number: 7,
        name: "add January",
        attempt: 2,
        args,
        inputs: [ALL_BYTES, new Uint8Array()],
        after: [],
      },
    ],
  };
}

/** A report that one call of the batch returned. */
export function sampleReport(batchId: string, outcome: Partial<CallOutcome> = {}, logs = ""): EncodedReport {
  const whole: CallOutcome = {
    sequence: 0,
    kind: "returned",
    durationMicros: 12,
    payload: ALL_BYTES,
    ...outcome,
  };
  return encoded({ batchId, outcomes: [whole], logs });
}

/** A report that asks nothing, unless told what. */
export function encoded(
  parts: Pick<Report, "batchId" | "outcomes" | "logs"> & Partial<Report>,
): EncodedReport {
  const report: Report = { requests: [], parked: [], started: [], workerId: "", ...parts };
  const attachments: Uint8Array[] = [];
  return { report, bytes: encodeReport(report, attachments), attachments };
}
