/** The tasks of the benchmarks. JavaScript, so that no thread spends its start on compiling. */
import { task } from "millrace";

export const noop = task({ name: "noop" }, (n) => n);

/** Computes for about a millisecond, by the clock: the machine's speed does not matter. */
export const spin = task({ name: "spin" }, (milliseconds) => {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
});

/** What piscina runs for the peers: the same no-op. */
export default (n) => n;
