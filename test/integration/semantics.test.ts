/** The distributed runner keeps the semantics of flows and tasks, wherever its workers are. */
import { afterAll, beforeAll, describe } from "vitest";
import { semanticsContract } from "../../packages/core/testing/contract/index.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

for (const { name, start } of RUNNER_KINDS.filter(({ isDistributed }) => isDistributed)) {
  describe(name, () => {
    let started: StartedRunner;

    beforeAll(async () => {
      started = await start();
    });

    afterAll(() => started?.close());

    semanticsContract({ name, makeRunner: () => started.taskRunner });
  });
}
