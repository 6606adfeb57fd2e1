import { encode } from "@millrace/core/internal";
import type { FromWorkerProcess, ToWorkerProcess } from "./nanny-protocol.ts";
import { STOP_SIGNALS, startWorkerProcess, type WorkerProcess } from "./worker-process.ts";

/**
 * The process that a nanny starts. It waits for its options, works until it is told to stop, and ends at once when
 * the channel to the nanny closes: no worker outlives the local cluster that it belongs to, and it has a namespace of
 * its own in Redis, of which then nothing stays.
 */
let running: WorkerProcess | undefined;

// Loaded while the options are on their way, which takes as long as a Redis server needs to start. Who needs them sees the errors.
for (const library of ["@millrace/broker/bullmq", "piscina"]) import(library).catch(() => {});

// Ctrl-C goes to the whole program: its own process decides what becomes of the workers. See WorkerProcessOptions.
for (const signal of STOP_SIGNALS) process.on(signal, () => {});

/** How long the last wishes of a dead owner may take. */
const FAREWELL_MS = 2_000;

process.on("disconnect", () => {
  setTimeout(() => process.exit(0), FAREWELL_MS);
  void running?.deleteNamespace().then(() => process.exit(0));
  if (running === undefined) process.exit(0);
});

process.on("message", async (message: ToWorkerProcess) => {
  if (message.type === "stop") {
    if (running === undefined) process.exit(0);
    running.stop();
    return;
  }
  try {
    running = await startWorkerProcess({ ...message.options, stopsOnSignals: false });
  } catch (error) {
    await tell({ type: "failed", error: Buffer.from(encode(error)).toString("base64") });
    process.exit(1);
  }
  await tell({ type: "ready" });
  await running.stopped;
  process.exit(0);
});

function tell(message: FromWorkerProcess): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => resolve());
  });
}
