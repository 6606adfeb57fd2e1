/**
 * Random graphs of tasks end as a plain interpreter of the rules says, on every task runner: results, states, attempts,
 * the order of the functions, the events, and what a cancellation leaves.
 *
 *     MILLRACE_TEST_GRAPHS=2000 npx vitest run random-graphs        many graphs, on every runner
 *     MILLRACE_TEST_GRAPHS_SEED=…  MILLRACE_TEST_GRAPHS_PATH=…      those that a failure has printed, again
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./contract/suite.ts";
import { cancellations, graphs } from "./random-graphs/arbitrary.ts";
import { expectAsPlanned, expectCancelledAsPlanned } from "./random-graphs/checks.ts";
import { type GraphRun, runGraph, startedLate, type Trace } from "./random-graphs/running.ts";

const {
  MILLRACE_TEST_GRAPHS: graphCount = "20",
  MILLRACE_TEST_GRAPHS_SEED: seed,
  MILLRACE_TEST_GRAPHS_PATH: path,
} = process.env;

/** Time for a graph on average, and to shrink one that fails. */
const SECONDS_PER_GRAPH = 0.5;
const SHRINK_SECONDS = 60;

export function randomGraphsContract(runner: RunnerUnderTest): void {
  const workshop = useWorkshop(runner);
  const numRuns = Number(graphCount);
  const seconds = numRuns * SECONDS_PER_GRAPH + SHRINK_SECONDS;

  /** Runs graphs, and checks each of them at once; and in the end, that none of them went on. */
  async function check<Given>(
    given: fc.Arbitrary<Given>,
    holds: (given: Given, trace: string) => Promise<GraphRun>,
  ): Promise<void> {
    const traces: (Trace & { readonly given: Given })[] = [];
    let made = 0;
    const property = fc.asyncProperty(given, async (drawn) => {
      const file = workshop.path(`trace-${made++}`);
      const { endedNs } = await holds(drawn, file);
      traces.push({ file, endedNs, given: drawn });
    });
    await fc.assert(property, {
      numRuns,
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(path !== undefined && { path }),
      interruptAfterTimeLimit: seconds * 1000,
      markInterruptAsFailure: true,
    });
    for (const trace of traces) {
      expect(await startedLate(trace), `what began too late in ${fc.stringify(trace.given)}`).toEqual([]);
    }
  }

  describe(`the ${runner.name} task runner: random graphs`, { timeout: 2 * seconds * 1000 }, () => {
    test("every run ends as it would by itself, behind what it needs", async () => {
      await check(graphs(), async (plan, trace) => {
        const run = await runGraph(plan, runner.makeRunner(), trace);
        expectAsPlanned(plan, run);
        return run;
      });
    });

    test("a cancellation ends what it is meant for, and leaves the rest alone", async () => {
      await check(fc.tuple(graphs(), cancellations()), async ([plan, cancellation], trace) => {
        const run = await runGraph(plan, runner.makeRunner(), trace, cancellation);
        expectCancelledAsPlanned(plan, run);
        return run;
      });
    });
  });
}
