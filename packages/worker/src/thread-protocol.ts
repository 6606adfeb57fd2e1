import type { MessagePort } from "node:worker_threads";

/** What a thread is started with. From then on the port carries chunks in and reports out, as bytes. */
export interface ThreadStart {
  readonly port: MessagePort;
  /**
   * How many calls the thread has started, in element 0. Shared memory, since it must be readable after the thread
   * has died: with the reports received it tells which call was running.
   */
  readonly started: Int32Array;
  /** The project root. */
  readonly root: string;
  /** The package.json of the tsx that this process was started with, if it was. */
  readonly tsx: string | undefined;
  /** Modules to load before the first call: paths relative to the root. */
  readonly modules: readonly string[];
}

/** What a thread sends: one word on its start (an error is encoded), then reports as bytes. */
export type FromThread =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: Uint8Array }
  | Uint8Array;
