import { type Batch, decodeBatch } from "@millrace/broker/batch";
import { logTo, setLogLevel } from "@millrace/core";
import {
  activeContext,
  encode,
  enterWorkerMode,
  processLogger,
  setProjectRoot,
} from "@millrace/core/internal";
import { addCallFinder, enterCluster } from "./ambient.ts";
import { CallRunner } from "./call-runner.ts";
import { LogLines } from "./log-lines.ts";
import { ModuleLoader } from "./module-loader.ts";
import type { FromThread, ThreadStart, ToThread } from "./thread-protocol.ts";
import { ThreadState } from "./thread-state.ts";
import { useTsx } from "./typescript-loader.ts";

/** What runs in a worker thread: calls come in through the port until it closes. Called once, by thread-bootstrap.cts. */
export default function serve({
  port,
  state,
  workerId,
  cluster,
  root,
  tsx,
  modules,
  mostCalls,
}: ThreadStart): Promise<void> {
  enterWorkerMode();
  setProjectRoot(root);
  useTsx(tsx);
  const lines = new LogLines({
    before: () => runner.logs(activeContext()),
    flush: () => runner.flush(),
  });
  logTo(lines);
  const loader = new ModuleLoader(root);
  // Cloned, never transferred: one transfer, and V8 checks every access to a typed array in the thread from then on, which
  // made tasks that compute with them 1.7 times slower.
  const post = (message: FromThread) => port.postMessage(message);
  const shared = new ThreadState(state);
  const runner = new CallRunner({
    loader,
    workerId: () => workerId,
    mostCalls,
    state: shared,
    onPassedOver: () => post({ type: "passed-over" }),
    onDeferred: (call) => post({ type: "deferred", call }),
    onGoesOn: (call) => post({ type: "goes-on", call }),
    onEnded: (call) => post({ type: "ended", call }),
    send: ({ bytes, attachments = [] }) => {
      const own = new Uint8Array(bytes); // The encoder's memory is shared by many messages, and all of it would be cloned.
      post(attachments.length === 0 ? own : { type: "report", bytes: own, attachments });
    },
    takeLogs: () => lines.take(),
  });
  enterCluster(cluster);
  addCallFinder((context) => runner.callOf(context));
  const onFloatingError = (error: unknown) => {
    const { taskRunId, flowRunId } = activeContext() ?? {};
    processLogger().error({ err: error, taskRunId, flowRunId }, "an error was left unhandled in a worker");
    if (taskRunId !== undefined) runner.fail(taskRunId, error);
  };
  // Without these, one call's forgotten promise would kill the thread, and the call that runs now would be blamed.
  process.on("unhandledRejection", onFloatingError);
  process.on("uncaughtException", onFloatingError);
  // A call that ends the thread with process.exit: what it logged, and what ended before it, still goes out.
  process.on("exit", () => runner.flush());
  const accept = (chunk: Batch) => {
    setLogLevel(chunk.logLevel);
    runner.accept(chunk);
  };
  return new Promise((resolve) => {
    port.on("close", () => resolve());
    port.on("message", (message: ToThread) => {
      if (message instanceof Uint8Array) accept(decodeBatch(message));
      else if (message.type === "chunk") accept(decodeBatch(message.bytes, message.attachments));
      else if (message.type === "cancel") runner.cancel(message.batchId, message.sequence);
      else if (message.type === "answer") runner.answer(message);
      shared.hasHeard();
    });
    Promise.all(modules.map((module) => loader.preload(module))).then(
      () => post({ type: "ready" }),
      (error: unknown) => post({ type: "failed", error: new Uint8Array(encode(error)) }),
    );
  });
}
