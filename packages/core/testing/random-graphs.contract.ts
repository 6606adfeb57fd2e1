/**
 * Random graphs of tasks end as a plain interpreter of the rules says, on every task runner: results, states, attempts,
 * the order of the functions, the events, and what a cancellation leaves.
 *
 *     MILLRACE_TEST_GRAPHS=2000 npx vitest run random-graphs        many graphs, on every runner
 *     MILLRACE_TEST_GRAPHS_SEED=…  MILLRACE_TEST_GRAPHS_PATH=…      those that a failure has printed, again
 */
import fc from "fast-check";
import { describe, test } from "vitest";
import { type RunnerUnderTest, useWorkshop } from "./contract/suite.ts";
import { cancellations, graphs } from "./random-graphs/arbitrary.ts";
import { expectAsPlanned, expectCancelledAsPlanned } from "./random-graphs/checks.ts";
import { runGraph } from "./random-graphs/running.ts";

const {
  MILLRACE_TEST_GRAPHS: graphCount = "25",
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
  let run = 0;
  const nextTrace = () => workshop.path(`trace-${run++}`);

  function check<Given>(given: fc.Arbitrary<Given>, holds: (given: Given) => Promise<void>): Promise<void> {
    return fc.assert(fc.asyncProperty(given, holds), {
      numRuns,
      ...(seed !== undefined && { seed: Number(seed) }),
      ...(path !== undefined && { path }),
      interruptAfterTimeLimit: seconds * 1000,
      markInterruptAsFailure: true,
    });
  }

  describe(`the ${runner.name} task runner: random graphs`, { timeout: 2 * seconds * 1000 }, () => {
    test("every run ends as it would by itself, behind what it needs", async () => {
      await check(graphs(), async (plan) => {
        expectAsPlanned(plan, await runGraph(plan, runner.makeRunner(), nextTrace()));
      });
    });

    test("a cancellation ends what it is meant for, and leaves the rest alone", async () => {
      await check(fc.tuple(graphs(), cancellations()), async ([plan, cancellation]) => {
        expectCancelledAsPlanned(plan, await runGraph(plan, runner.makeRunner(), nextTrace(), cancellation));
      });
    });
  });
}
