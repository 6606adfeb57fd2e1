import type { MessagePort } from "node:worker_threads";
import type { CallAnswer } from "@millrace/broker";
import type { AmbientCluster } from "./ambient.ts";

/** What a thread is started with. From then on the port carries chunks in and reports out, as bytes. */
export interface ThreadStart {
  readonly port: MessagePort;
  /** The memory of a ThreadState. */
  readonly state: SharedArrayBuffer;
  /** Of the worker that the thread belongs to: requests are answered there. */
  readonly workerId: string;
  /** Of the worker, when it is behind a Redis. */
  readonly cluster: AmbientCluster | undefined;
  /** The project root. */
  readonly root: string;
  /** The package.json of the tsx that this process was started with, if it was. */
  readonly tsx: string | undefined;
  /** Modules to load before the first call: paths relative to the root. */
  readonly modules: readonly string[];
  /** How many calls may be under way at once while the thread's event loop is idle. */
  readonly mostCalls: number;
}

/** What a thread gets: chunks as bytes, and between them what concerns calls that it has. */
export type ToThread =
  | { readonly type: "cancel"; readonly batchId: string; readonly sequence: number }
  | ({ readonly type: "answer" } & CallAnswer)
  /** Nothing is to be done: that it was heard says that the thread does not compute. */
  | { readonly type: "ping" }
  | ({ readonly type: "chunk" } & WithAttachments)
  | Uint8Array;

/**
 * What a thread sends: one word on its start (an error is encoded), then reports as bytes. `goes-on`: a function has
 * not ended although its call has, being out of time or cancelled; `ended`: now it has. `deferred`: a call waits for others that
 * the thread has under way. All three name the call by its number. `passed-over`: no call is left of those that were taken back.
 */
export type FromThread =
  | { readonly type: "ready" | "passed-over" }
  | { readonly type: "failed"; readonly error: Uint8Array }
  | { readonly type: "goes-on" | "ended" | "deferred"; readonly call: number }
  | ({ readonly type: "report" } & WithAttachments)
  | Uint8Array;

/** A chunk or a report with large values, which are in shared memory: nothing of them is copied. */
interface WithAttachments {
  readonly bytes: Uint8Array;
  readonly attachments: readonly Uint8Array[];
}

/**
 * How long a function may go on after its time was over or it was cancelled, before its thread is ended or gets no more
 * calls: time for a `finally` that closes a file or a connection. A thread takes 50 ms to replace, and its modules to load again.
 */
export const KILL_GRACE_MS = 1_000;
