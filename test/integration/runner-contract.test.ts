/** The distributed runner keeps the contract of all task runners, wherever its workers are. */
import { afterAll, beforeAll, describe } from "vitest";
import * as contractTasks from "../../packages/core/testing/contract-tasks.ts";
import { taskRunnerContract } from "../../packages/core/testing/task-runner.contract.ts";
import { RUNNER_KINDS, type StartedRunner } from "../support/runner-kinds.ts";

for (const { name, start } of RUNNER_KINDS.filter(({ isDistributed }) => isDistributed)) {
  describe(name, () => {
    let started: StartedRunner;

    beforeAll(async () => {
      started = await start();
    });

    afterAll(() => started?.close());

    taskRunnerContract(name, () => started.taskRunner, { tasks: contractTasks });
  });
}
