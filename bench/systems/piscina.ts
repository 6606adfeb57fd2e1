import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { eachElapsedMs, elapsedMs } from "../measure.ts";
import { graphMs, type System, type SystemEntry } from "./system.ts";

const cores = availableParallelism();

export function openPool(threads = cores): Piscina {
  return new Piscina({
    filename: new URL("../piscina-entry.js", import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    idleTimeout: Number.POSITIVE_INFINITY,
  });
}

/** piscina alone, a task per run, as its users use it: what the embedded mode is measured against. */
export const piscina: SystemEntry = {
  name: "piscina",
  open: async () => {
    const pool = openPool();
    const call = <R>(name: string, ...args: unknown[]): Promise<R> => pool.run(args, { name });
    const many = (count: number, name: string, argument: (n: number) => unknown) =>
      Promise.all(Array.from({ length: count }, (_, n) => call<number>(name, argument(n))));
    return {
      name: "piscina",
      noops: (count) => elapsedMs(() => many(count, "noop", (n) => n)),
      asyncNoops: (count) => elapsedMs(() => many(count, "asyncNoop", (n) => n)),
      latencies: (count) => eachElapsedMs(count, () => call("noop", 1)),
      chain: (length) =>
        elapsedMs(async () => {
          let last = 0;
          while (last < length) last = await call<number>("increment", last);
        }),
      spins: (count) => elapsedMs(() => many(count, "spin", () => 1)),
      peak: async (iterations) => (await many(cores, "rate", () => iterations)).reduce((a, b) => a + b, 0),
      // As a good user would: each task starts when its inputs are there, whatever else of its step is not.
      graph: (graph, iterations) =>
        graphMs<Promise<Uint8Array>>(
          graph,
          async (step, at, needs, inputs) =>
            call("point", step, at, iterations, needs, await Promise.all(inputs)),
          (outputs) => Promise.all(outputs),
        ),
      [Symbol.asyncDispose]: () => pool.destroy(),
    } satisfies System;
  },
};
