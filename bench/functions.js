/**
 * What the benchmarks run, as plain functions: piscina loads them so, and tasks.js makes tasks of them. JavaScript, so
 * that no thread spends its start on compiling.
 */
import { setTimeout as sleep } from "node:timers/promises";

export { point, rate } from "./task-bench/kernel.js";

export const noop = (value) => value;
export const asyncNoop = async (value) => value;
export const increment = (value) => value + 1;

/** Computes for so long, by the clock: the machine's speed does not matter. */
export function spin(milliseconds) {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** Waits without computing, as for a network. */
export const rest = (milliseconds) => sleep(milliseconds);

/** Gives back what it got: its size is what is measured. */
export const echo = (bytes) => bytes;
