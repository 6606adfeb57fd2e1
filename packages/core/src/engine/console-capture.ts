import { format } from "node:util";
import { getRunLogger } from "../logger.ts";
import { activeContext } from "./context.ts";

const METHODS = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error" } as const;

let isCapturing = false;

/**
 * From now on, what a run with `logConsole` writes to the console goes to its run logger. Everything else reaches the
 * console as before: the run is known by its context, so runs that share the event loop do not mix.
 */
export function captureConsole(): void {
  if (isCapturing) return;
  isCapturing = true;
  for (const [method, level] of Object.entries(METHODS) as [
    keyof typeof METHODS,
    "debug" | "info" | "warn" | "error",
  ][]) {
    // biome-ignore lint/suspicious/noConsole: this is what catches the console of users' tasks.
    const original = globalThis.console[method];
    globalThis.console[method] = (...args: unknown[]) => {
      if (activeContext()?.logConsole) getRunLogger()[level](format(...args));
      else original.apply(globalThis.console, args);
    };
  }
}
