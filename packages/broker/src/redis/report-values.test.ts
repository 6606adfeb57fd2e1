import { expect, test } from "vitest";
import { MapStore } from "../../testing/map-store.ts";
import { WorkerValues } from "../values/worker-values.ts";
import { inSharedMemory } from "../wire/call-values.ts";
import { decodeReport } from "../wire/report.ts";
import { ReportValues } from "./report-values.ts";

test("what a call gives while Redis takes no values travels in the message, as much as fits into one", async () => {
  const store = new MapStore();
  store.write = () => Promise.reject(new Error("OOM command not allowed"));
  const sizes = [70_000, 90_000, 80_000];
  const given = sizes.map((size, index) => ({ id: `${index}`, value: inSharedMemory(new Uint8Array(size)) }));
  const requests = [{ sequence: 0, id: 1, body: new Uint8Array(5_000), given }];
  const report = {
    batchId: "runner.1",
    outcomes: [],
    logs: "",
    requests,
    parked: [],
    started: [],
    workerId: "w",
  };
  const values = new ReportValues({ runnerId: "runner", store, values: new WorkerValues(store) });
  const { bytes } = await values.keep(report, 160_000);
  expect(decodeReport(bytes).requests[0]?.given.map(({ id }) => id)).toEqual(["0", "2"]);
});
