import type { ThreadStart } from "./thread-protocol.ts" with { "resolution-mode": "import" };

/**
 * What Piscina loads in a new thread. It tries `require` first, and Node (20.20, seen) aborts the whole process when a
 * thread is ended in the middle of a `require` of an ES module, as on closing right after a start. So this file is
 * CommonJS, and imports the rest.
 */
module.exports = async (start: ThreadStart): Promise<void> => {
  const { default: serve } = await import("./thread-entry.ts");
  await serve(start);
};
